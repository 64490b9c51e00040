"""Suites that every backend of an interface passes."""
