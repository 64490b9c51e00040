"""The store: its contract, the names of its files, and the tables of a segment."""
