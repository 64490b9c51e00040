"""The state of one stream and the rules that change it."""
