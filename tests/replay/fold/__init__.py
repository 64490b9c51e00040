"""Tests of pagetrail.replay.fold."""
