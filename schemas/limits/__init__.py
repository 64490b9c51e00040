"""What frames may ask for: limits, without which a few bytes of somebody else would take any memory, or be anybody's name."""
