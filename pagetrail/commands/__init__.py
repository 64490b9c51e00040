"""The commands, one file each: parse, one call, render. Data goes to stdout, everything else to stderr."""
