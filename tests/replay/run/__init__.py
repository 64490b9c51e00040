"""Tests of pagetrail.replay.run."""
