"""The only place where time and chance come from. Everything else is handed a `Clock`, so that tests can advance it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID, uuid4

Clock: TypeAlias = Callable[[], datetime]


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """A random id, for what nothing in the log caused."""
    return uuid4()


def monotonic() -> float:
    """Seconds that only grow, also while the process is stopped or the wall clock is set."""
    return time.monotonic()
