"""Who holds pages: owned pages with the attribute that a question adds up by, and their sums."""
