"""The `clew` command: a client of the gateway in the terminal. It imports no other part of Clew."""
