"""What is known of a stream beside its pages."""
