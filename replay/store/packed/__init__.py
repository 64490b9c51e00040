"""The spans of a segment, packed: runs of pages, and the events that begin and end them."""
