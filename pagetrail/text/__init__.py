"""Pages for people: tables and sentences."""
