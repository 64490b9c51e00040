"""The store: what a file holds, its digests, how it is published, read and resumed from."""
