"""Everything known about a stream except its pages."""
