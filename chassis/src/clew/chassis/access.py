"""Where the log is and as whom a process comes to it: settings that services, jobs and operators share."""

import ssl
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class LogAccess(BaseSettings):
    """Without a user nobody logs in; without TLS nothing is encrypted. What a user may do, the broker says (ACLs)."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    kafka_bootstrap_servers: str = Field(
        validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="Kafka brokers, host:port, comma-separated"
    )
    kafka_user: str = Field("", validation_alias="KAFKA_USER", description="User at the brokers, if they ask for one")
    kafka_password: SecretStr = Field(SecretStr(""), validation_alias="KAFKA_PASSWORD", description="Its password")
    kafka_mechanism: Mechanism = Field(
        "SCRAM-SHA-512", validation_alias="KAFKA_SASL_MECHANISM", description="How the user logs in"
    )
    kafka_tls: bool = Field(False, validation_alias="KAFKA_TLS", description="Whether brokers are spoken to over TLS")
    kafka_ca_file: Path | None = Field(
        None, validation_alias="KAFKA_CA_FILE", description="Who signed their certificates, if not a public authority"
    )

    @cached_property  # authorities are read from disk, and each range of the log that is read has its own connection
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.kafka_ca_file) if self.kafka_tls else None

    def client(self) -> dict[str, Any]:
        """Where and as whom, as aiokafka's clients take it."""
        layer = "SSL" if self.kafka_tls else "PLAINTEXT"
        where = {"bootstrap_servers": self.kafka_bootstrap_servers, "ssl_context": self.tls}
        if not self.kafka_user:
            return where | {"security_protocol": layer}
        login = {"sasl_plain_username": self.kafka_user, "sasl_plain_password": self.kafka_password.get_secret_value()}
        return where | login | {"security_protocol": f"SASL_{layer}", "sasl_mechanism": self.kafka_mechanism}
