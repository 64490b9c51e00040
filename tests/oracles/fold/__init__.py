"""The oracle: the rules of the fold once more, slowly and page by page."""
