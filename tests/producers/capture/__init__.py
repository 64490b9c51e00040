"""Tests of pagetrail.producers.capture.directory."""
