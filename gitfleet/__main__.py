"""`python -m gitfleet`: what an attempt's PATH leads to."""

from gitfleet.cli.main import main

if __name__ == "__main__":
    main()
