"""The log: its contract, and the layouts that both ends of each backend share."""
