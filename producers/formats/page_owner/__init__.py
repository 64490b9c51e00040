"""The text of /sys/kernel/debug/page_owner."""
