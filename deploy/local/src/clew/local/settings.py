"""What the environment says about the local stack: ports, data folder, parts that others bring."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clew.local.problems import StackError

KAFKA_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
POSTGRES_VARIABLE = "DATABASE_URL"
REDIS_VARIABLE = "REDIS_URL"
S3_VARIABLE = "S3_ENDPOINT"
S3_NEEDS = ("S3_ACCESS_KEY", "S3_SECRET_KEY")
REGION = "us-east-1"
DEFAULT_BUCKET = "clew"


@dataclass(frozen=True)
class Ports:
    """The loopback ports of the four parts."""

    kafka: int = 9092
    postgres: int = 5432
    redis: int = 6379
    s3: int = 9000


@dataclass(frozen=True)
class Settings:
    """`environ` is the whole environment; `given` the part of it that replaces parts of the stack."""

    home: Path
    ports: Ports
    gateway_host: str
    gateway_port: int
    bucket: str
    given: Mapping[str, str]
    environ: Mapping[str, str]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the environment; StackError names the variable that is wrong."""
        return cls(
            home=Path(environ.get("CLEW_HOME") or ".clew").expanduser().resolve(),
            ports=Ports(
                kafka=_port(environ, "CLEW_KAFKA_PORT", Ports.kafka),
                postgres=_port(environ, "CLEW_POSTGRES_PORT", Ports.postgres),
                redis=_port(environ, "CLEW_REDIS_PORT", Ports.redis),
                s3=_port(environ, "CLEW_S3_PORT", Ports.s3),
            ),
            gateway_host=environ.get("CLEW_GATEWAY_HOST") or "127.0.0.1",
            gateway_port=_port(environ, "CLEW_GATEWAY_PORT", 8000),
            bucket=environ.get("S3_BUCKET") or DEFAULT_BUCKET,
            given=given_parts(environ),
            environ=environ,
        )

    def with_environ(self, **values: str) -> "Settings":
        """The same, with variables added to what the services see."""
        return replace(self, environ={**self.environ, **values})


def given_parts(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the parts that someone else brings; an S3 endpoint comes with its credentials."""
    given = {name: environ[name] for name in (KAFKA_VARIABLE, POSTGRES_VARIABLE, REDIS_VARIABLE) if environ.get(name)}
    if environ.get(S3_VARIABLE):
        missing = [name for name in S3_NEEDS if not environ.get(name)]
        if missing:
            raise StackError(
                f"{S3_VARIABLE} is set without {' and '.join(missing)}: set it too, or unset {S3_VARIABLE}"
            )
        given |= {name: environ[name] for name in (S3_VARIABLE, *S3_NEEDS)}
        given["S3_REGION"] = environ.get("S3_REGION") or REGION
        given["S3_BUCKET"] = environ.get("S3_BUCKET") or DEFAULT_BUCKET
    return given


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"{name} is {text!r}: set it to a port number from 1 to 65535")
    return int(text)
