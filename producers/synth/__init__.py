"""A load to measure with: blocks are allocated and freed at random, and nothing else happens."""
