"""Projects every event into Postgres and Redis."""
