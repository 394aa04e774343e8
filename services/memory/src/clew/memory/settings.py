"""What memory takes from the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from clew.chassis.settings import DatabaseSettings, Namespace
from clew.models.embedding import EmbeddingSettings


class Settings(DatabaseSettings, EmbeddingSettings):
    """The service: where the log, Postgres and Redis are. Without REDIS_URL there are no live streams, only views."""


class MigrationSettings(BaseSettings):
    """The migration needs Postgres only."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    database_url: SecretStr = Field(validation_alias="DATABASE_URL", description="postgresql://user:password@host/db")
    namespace: Namespace = Field("", validation_alias="CLEW_NAMESPACE", description="As for the services")
