"""One file a command: parse, one call of the API, render. Commands that ask a question are in ``questions``."""
