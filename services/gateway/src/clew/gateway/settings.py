"""The gateway's settings, beside those of every service."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import NoDecode

from clew.chassis.settings import DatabaseSettings
from clew.models.embedding import EmbeddingSettings


class Settings(DatabaseSettings, EmbeddingSettings):
    host: str = Field("127.0.0.1", validation_alias="CLEW_GATEWAY_HOST", description="Address of the public API")
    port: int = Field(8000, ge=0, le=65535, validation_alias="CLEW_GATEWAY_PORT", description="Port of the same")
    auth: Literal["none", "api-key"] = Field(
        "none", validation_alias="CLEW_AUTH", description="none: one local user, on a loopback address only"
    )
    api_keys_file: Path | None = Field(
        None, validation_alias="CLEW_API_KEYS_FILE", description="Hashed API keys, written by `clew keys create`"
    )
    allowed_origins: Annotated[frozenset[str], NoDecode] = Field(
        frozenset[str](),
        validation_alias="CLEW_ALLOWED_ORIGINS",
        description="Origins of web pages on other hosts that may call the API, comma-separated: https://app.example",
    )
    s3_public_endpoint: str | None = Field(
        None, validation_alias="S3_PUBLIC_ENDPOINT", description="The object store's URL as clients see it, if another"
    )
