"""trace.dat of trace-cmd, and the raw pages of the kernel's rings."""
