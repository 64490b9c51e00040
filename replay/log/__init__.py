"""The reading end of the log."""
