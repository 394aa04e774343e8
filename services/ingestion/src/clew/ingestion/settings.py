"""What ingestion is told by its environment: nothing beyond what every service is told."""

from clew.chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the ingestion service."""
