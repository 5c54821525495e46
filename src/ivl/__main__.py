"""`python -m ivl` is the command `ivl`."""

from ivl.cli.main import main

if __name__ == "__main__":
    main()
