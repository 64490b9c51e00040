"""Tests of pagetrail.replay.store."""
