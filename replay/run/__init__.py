"""Running a replay: partitions, streams in memory, consumer groups."""
