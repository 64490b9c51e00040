"""Faults of a group of replayers on Kafka: killed, stopped, cut off, rebalanced, their brokers killed. See ``__main__``."""
