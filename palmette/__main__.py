"""`python -m palmette` is the command `palmette`."""

import sys


def main() -> None:
    """The entry point of the script `palmette`. Ctrl-C ends it quietly also while it is loading."""
    try:
        from palmette.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
