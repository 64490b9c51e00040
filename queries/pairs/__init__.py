"""Many (pfn, time) pairs at once, as arrays."""
