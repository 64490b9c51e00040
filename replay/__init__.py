"""Replay: the log is folded into segments."""
