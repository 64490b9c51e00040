"""Laws of the forms in which people have traces."""
