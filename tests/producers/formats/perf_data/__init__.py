"""perf.data."""
