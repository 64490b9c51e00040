"""Laws of the producers: what each format's parser takes from its file, and what it does not."""
