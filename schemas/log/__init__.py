"""The log: its contract, and what its two backends agree on."""
