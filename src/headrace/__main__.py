"""The program `headrace`, and `python -m headrace`: nothing is imported before Ctrl-C is caught.

Importing the command line takes some tenths of a second, in which people press Ctrl-C too;
`cli/main.py` is where it begins.
"""

import sys


def run() -> None:
    """Run the command line; Ctrl-C at any time is a line and status 130."""
    try:
        from headrace.cli.main import main  # noqa: PLC0415 - see above

        main()
    except KeyboardInterrupt:
        sys.stderr.write("\nheadrace: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
