"""pagetrail held against the kernel's own tools, built from the kernel's own source."""
