"""As whom a process comes to the log: FastStream's consumers and aiokafka's other clients are told the same."""

import pytest
from faststream.kafka.security import parse_security

from clew.chassis.membership import security_of
from clew.chassis.settings import ServiceSettings

USER = {"KAFKA_USER": "memory", "KAFKA_PASSWORD": "hunter-two"}


@pytest.mark.parametrize(
    ("named", "protocol"),
    [
        ({}, "PLAINTEXT"),
        (USER, "SASL_PLAINTEXT"),
        ({"KAFKA_TLS": "true"}, "SSL"),
        (USER | {"KAFKA_TLS": "true", "KAFKA_SASL_MECHANISM": "PLAIN"}, "SASL_SSL"),
    ],
)
def test_both_kinds_of_clients_log_in_alike(named: dict[str, str], protocol: str) -> None:
    access = ServiceSettings.model_validate({"KAFKA_BOOTSTRAP_SERVERS": "broker:9092", **named})
    client, hosted = access.client(), parse_security(security_of(access))
    assert client.pop("bootstrap_servers") == "broker:9092"
    assert client["security_protocol"] == protocol
    assert client["ssl_context"] is access.tls, "authorities are read once"
    assert (client.pop("ssl_context") is None, hosted.pop("ssl_context", None) is None) == ("SSL" not in protocol,) * 2
    assert client == ({"security_protocol": "PLAINTEXT"} | hosted)


def test_a_password_is_not_shown() -> None:
    access = ServiceSettings.model_validate({"KAFKA_BOOTSTRAP_SERVERS": "broker:9092", **USER})
    assert "hunter-two" not in repr(access)
