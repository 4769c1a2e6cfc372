"""`python -m ondee.cli`."""

from ondee.cli import main

if __name__ == "__main__":
    main()
