"""What the binary formats of traces share: the formats of tracepoints, the fields of raw records, the kernel's symbols."""
