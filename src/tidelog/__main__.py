"""`python -m tidelog`."""

from tidelog.cli import main

if __name__ == "__main__":  # a spawned process imports this module again
    main()
