"""What happens when a process dies, a disk is full, or bytes change."""
