"""The read models of Clew: the only door to Postgres and Redis outside the memory service, and read-only.

`Views` (module `door`) opens them; `models` are what comes out, `client` the events as clients see them.
"""
