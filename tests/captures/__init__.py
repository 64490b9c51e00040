"""Whole recordings of real kernels, replayed, against what those kernels said of themselves."""
