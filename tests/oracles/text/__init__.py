"""Slow, obvious parsers of ftrace text and perf script text: what the jit functions are held against."""
