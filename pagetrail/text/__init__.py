"""Answers as pages for people, and as JSON for programs. Nothing here asks a question."""
