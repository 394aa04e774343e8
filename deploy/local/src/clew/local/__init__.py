"""Brings the real parts up natively: Kafka, Postgres, Redis, S3 and the services."""
