"""The fold's compiled rules: plain arrays in, plain arrays out."""
