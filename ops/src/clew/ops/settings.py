"""Where the log is, from the environment, as a service reads it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import click
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from pydantic import ValidationError

from clew.chassis.errors import LogUnreachable
from clew.chassis.settings import ServiceSettings, faults
from clew.cli.errors import Denied, Unreachable

REFUSALS: Final = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=ServiceSettings)


def settings() -> ServiceSettings:
    return read(ServiceSettings)


def read(kind: type[S]) -> S:
    """What a service with these settings is given. UsageError names the variable that is missing or wrong."""
    try:
        return kind.model_validate({})
    except ValidationError as error:
        raise click.UsageError(
            f"this command reads the log itself, and the environment does not say where it is: {faults(error)}"
        ) from error


def asynchronous(command: Callable[P, Coroutine[None, None, T]]) -> Callable[P, T]:
    """A command written as a coroutine. A broker that does not answer becomes Unreachable, one that refuses Denied."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        logging.getLogger("aiokafka").setLevel(logging.ERROR)  # its warnings are none of an operator's business
        try:
            return asyncio.run(command(*args, **kwargs))
        except REFUSALS as error:
            raise Denied(f"this user may not do that with the log: {type(error).__name__}: {error}") from error
        except (KafkaError, LogUnreachable) as error:
            raise Unreachable(f"the log cannot be read: {error}") from error

    return run
