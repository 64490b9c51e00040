"""Removing what a trail no longer needs: segments that no question asks any more."""
