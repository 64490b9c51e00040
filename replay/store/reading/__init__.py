"""What is checked of a file of the store before it is believed."""
