"""Stores that were harmed: what is done to them, and what is asked of them afterwards."""
