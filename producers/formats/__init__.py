"""The formats of captures: one room or file each, and how each is recognised."""
