"""Every reference that tests compare with: slow and obvious."""
