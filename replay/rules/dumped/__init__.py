"""What page_owner dumps say of pages beside their owners: cgroup, flags, type of the pageblock, and the record's own words."""
