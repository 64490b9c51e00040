"""Tests of the synthetic load."""
