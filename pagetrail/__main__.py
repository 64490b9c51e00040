"""``python -m pagetrail``: the command line."""

from pagetrail.cli import main

if __name__ == "__main__":
    main()
