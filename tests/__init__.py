"""The laws of pagetrail, written down as tests; the folders mirror the package."""
