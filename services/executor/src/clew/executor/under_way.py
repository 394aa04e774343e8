"""The call whose body is running: its idempotency key, and what the body says of its own result.

Where calls belong is `scopes`; who makes them is `tool_calls` and `model_calls`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from clew.executor.calls import Call


@dataclass(slots=True)
class UnderWay:
    """A call whose body is running. `untrusted`: bytes from outside are in what it returns."""

    call: Call
    untrusted: bool = False


_body: ContextVar[UnderWay | None] = ContextVar("clew_body", default=None)


def call_under_way() -> Call | None:
    """The call whose body is running here, if any."""
    return None if (body := _body.get()) is None else body.call


def idempotency_key() -> str:
    """The key of the tool call that is running: the same in every repetition of it, and no other call's.

    Raises RuntimeError outside of a call.
    """
    return key_of(running().call.call_id)


def key_of(call_id: UUID) -> str:
    """The idempotency key of a call. Its id is derived from the run and the call's key."""
    return str(call_id)


def returns_untrusted() -> None:
    """Says that bytes from outside are in what the running tool call returns, where that depends on the call: a tool
    that always brings some in is declared so. RuntimeError outside of a call."""
    running().untrusted = True


def running() -> UnderWay:
    """RuntimeError outside of a call."""
    if (body := _body.get()) is None:
        raise RuntimeError("this is known only inside of a tool's call in a durable run")
    return body


@contextmanager
def within_call(body: UnderWay) -> Generator[None]:
    token = _body.set(body)
    try:
        yield
    finally:
        _body.reset(token)
