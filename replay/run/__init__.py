"""A replay at work: partitions, streams in memory, groups."""
