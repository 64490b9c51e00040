"""Facts about Linux: one file for each kernel header, each fact once, with file, function and release."""
