"""Text of tracepoints: ftrace and perf script."""
