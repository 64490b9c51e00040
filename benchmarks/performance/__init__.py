"""What pagetrail costs: how fast it stores, replays and answers, and what that takes; ``python -m benchmarks.performance``."""
