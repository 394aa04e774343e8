"""What the environment says, and what is wrong with it."""

from pathlib import Path

import pytest

from clew.local.problems import StackError
from clew.local.settings import Ports, Settings, given_parts


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.from_env({})
    assert settings.home == Path(".clew").resolve()
    assert settings.ports == Ports(kafka=9092, postgres=5432, redis=6379, s3=9000)
    assert (settings.gateway_host, settings.gateway_port, settings.bucket) == ("127.0.0.1", 8000, "clew")
    assert settings.given == {}


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "8000 ", "٣"])
def test_a_port_that_is_none_names_its_variable(text: str) -> None:
    with pytest.raises(StackError, match=r"CLEW_KAFKA_PORT is .*: set it to a port number"):
        Settings.from_env({"CLEW_KAFKA_PORT": text})


def test_an_empty_variable_is_as_good_as_none() -> None:
    settings = Settings.from_env({"CLEW_KAFKA_PORT": "", "REDIS_URL": ""})
    assert settings.ports.kafka == 9092
    assert settings.given == {}


def test_a_given_s3_endpoint_brings_its_credentials_region_and_bucket() -> None:
    given = given_parts({"S3_ENDPOINT": "http://s3", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_BUCKET": "c"})
    assert given == {
        "S3_ENDPOINT": "http://s3",
        "S3_ACCESS_KEY": "a",
        "S3_SECRET_KEY": "b",
        "S3_REGION": "us-east-1",
        "S3_BUCKET": "c",
    }


def test_a_given_s3_endpoint_without_credentials_says_which_are_missing() -> None:
    with pytest.raises(StackError, match="S3_ENDPOINT is set without S3_SECRET_KEY"):
        given_parts({"S3_ENDPOINT": "http://s3", "S3_ACCESS_KEY": "a"})
