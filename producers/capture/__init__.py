"""A capture directory: its files, its boot, its clocks, what it declares to have seen."""
