"""What Linux says."""
