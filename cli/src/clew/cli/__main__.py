"""`python -m clew.cli`: the `clew` command where it is not on the path."""

from clew.cli.main import main

main()
