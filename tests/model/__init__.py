"""The model kernel: an instrument of the tests. It plays Linux, and knows the truth."""
