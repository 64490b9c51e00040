"""Answers in other people's forms."""
