"""The read models of Clew: the only door to Postgres and Redis outside memory."""
