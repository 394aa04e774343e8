"""Settings that every service has, read from the environment. Each service adds its own in a subclass."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from clew.chassis.access import LogAccess
from clew.chassis.keyed import Limits

IN_HAND = Limits()
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]{0,20}$")]


def faults(error: ValidationError) -> str:
    """Each variable that is missing or wrong, with what is wrong with it, on one line."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())


class ServiceSettings(LogAccess):
    """Where the log and the object store are, and how the process shows itself."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    namespace: Namespace = Field(
        "", validation_alias="CLEW_NAMESPACE", description="Prefix that isolates a second set on the same parts"
    )
    health_host: str = Field(
        "127.0.0.1", validation_alias="CLEW_HEALTH_HOST", description="Address of /livez, /readyz and /metrics"
    )
    health_port: int = Field(
        0, ge=0, le=65535, validation_alias="CLEW_HEALTH_PORT", description="Port of the same; 0 takes a free one"
    )
    log_format: Literal["json", "pretty", "auto"] = Field(
        "auto", validation_alias="CLEW_LOG_FORMAT", description="auto is pretty on a terminal and JSON elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="CLEW_LOG_LEVEL", description="The least serious message that is written"
    )
    drain_seconds: float = Field(
        10, ge=0, validation_alias="CLEW_DRAIN_SECONDS", description="How long a stop waits for handlers to end"
    )
    session_seconds: float = Field(
        10,
        ge=1,
        validation_alias="CLEW_SESSION_SECONDS",
        description="A silent process loses its partitions after; brokers refuse less than 6 by default",
    )
    handlers: int = Field(
        IN_HAND.running,
        ge=1,
        validation_alias="CLEW_HANDLERS",
        description="Messages, plans or documents that are handled at once",
    )
    records_in_hand: int = Field(
        IN_HAND.records,
        ge=1,
        validation_alias="CLEW_RECORDS_IN_HAND",
        description="Records that are fetched and not done with, of work and of control each, before fetching pauses",
    )
    bytes_in_hand: int = Field(
        IN_HAND.size,
        ge=1,
        validation_alias="CLEW_BYTES_IN_HAND",
        description="The same, in bytes of those records",
    )
    s3_endpoint: str | None = Field(
        None, validation_alias="S3_ENDPOINT", description="URL of the object store, http(s)://host:port"
    )
    s3_access_key: str = Field("", validation_alias="S3_ACCESS_KEY", description="Access key of the object store")
    s3_secret_key: SecretStr = Field(
        SecretStr(""), validation_alias="S3_SECRET_KEY", description="Secret key of the object store"
    )
    s3_region: str = Field("us-east-1", validation_alias="S3_REGION", description="Region of the object store")
    s3_bucket: str = Field("clew", validation_alias="S3_BUCKET", description="Bucket for documents and large bodies")

    @property
    def in_hand(self) -> Limits:
        """How much a key-ordered consumer may have in hand."""
        return Limits(running=self.handlers, records=self.records_in_hand, size=self.bytes_in_hand)

    def in_namespace(self, name: str) -> str:
        """The name that a topic or a consumer group has on the broker."""
        return f"{self.namespace}.{name}" if self.namespace else name


class DatabaseSettings(ServiceSettings):
    """For services that read the views or write them."""

    database_url: SecretStr = Field(validation_alias="DATABASE_URL", description="postgresql://user:password@host/db")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL", description="redis://host:port/0")
