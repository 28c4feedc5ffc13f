"""`python -m headrace`: the command line, for where the script is not on PATH."""

from headrace.cli.main import main

main()
