"""Memory: projects every event of the log into Postgres and Redis, and emits nothing but dead letters."""
