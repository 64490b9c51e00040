"""Tests of pagetrail.replay.facts."""
