"""The store: the content of its files, their digests, publishing, reading, and resuming from them."""
