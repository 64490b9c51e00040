"""Tests of pagetrail.replay.rules."""
