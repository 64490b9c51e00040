"""Tests of pagetrail.producers.formats."""
