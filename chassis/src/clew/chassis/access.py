"""Where the log is and as whom a process comes to it: settings that services, jobs and operators share."""

import ssl
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
LOGINS: Final = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


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

    def security(self) -> BaseSecurity | None:
        """As FastStream takes it."""
        context = ssl.create_default_context(cafile=self.kafka_ca_file) if self.kafka_tls else None
        if self.kafka_user:
            login = LOGINS[self.kafka_mechanism]
            secret = self.kafka_password.get_secret_value()
            return login(self.kafka_user, secret, ssl_context=context, use_ssl=self.kafka_tls)
        return BaseSecurity(ssl_context=context, use_ssl=True) if context else None

    def client(self) -> dict[str, Any]:
        """Where and as whom, as aiokafka's clients take it."""
        return {"bootstrap_servers": self.kafka_bootstrap_servers, **parse_security(self.security())}
