"""The store: its contract, what its files are called, and what a segment holds."""
