"""trace.dat."""
