"""perf.data, as ``perf record`` writes it, in a file or through a pipe."""
