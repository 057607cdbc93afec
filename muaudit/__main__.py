"""`python -m muaudit` is the command line."""

from muaudit.cli.main import main

if __name__ == "__main__":
    main()
