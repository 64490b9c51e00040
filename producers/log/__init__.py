"""The writing end of the log."""
