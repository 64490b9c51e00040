"""Records of open spans, and the events that began them."""
