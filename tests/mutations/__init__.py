"""Each rule of the fold, disabled by itself, makes a test fail."""
