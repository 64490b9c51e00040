"""Answers in the forms of other programs."""
