"""`python -m wirestamp`: the command, for processes that start it themselves."""

from wirestamp.cli import main

main()
