"""The kernel's sums of pages, held against those of a replay: by stack, and by call site."""
