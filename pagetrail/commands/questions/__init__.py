"""The commands that ask a question of a trail: one file each."""
