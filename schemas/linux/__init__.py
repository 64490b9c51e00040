"""What Linux says: one file a kernel header, each fact once, with file, function and release."""
