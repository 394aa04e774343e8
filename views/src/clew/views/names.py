"""What things are called in Postgres and Redis. A namespace keeps a second set apart on the same servers."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_NAMESPACE: Final = re.compile(r"[a-z0-9]{0,20}")


@dataclass(frozen=True, slots=True)
class Schemas:
    """The Postgres schemas of a namespace: memory's tables, and the views that others may read."""

    tables: str
    views: str

    @classmethod
    def of(cls, namespace: str) -> "Schemas":
        """ValueError when `namespace` is no name that can stand in SQL unquoted."""
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(f"{namespace!r} is not a namespace: at most 20 of a-z and 0-9")
        return cls(f"clew_{namespace}", f"clew_{namespace}_read_v1") if namespace else cls("clew", "read_v1")


@dataclass(frozen=True, slots=True)
class Keys:
    """The Redis keys of a namespace. Each begins with its tenant."""

    namespace: str

    def live(self, tenant_id: str, run_id: UUID) -> str:
        """The stream of a run's events and tokens as they come."""
        return f"{self._prefix}{tenant_id}:run:{run_id}:live"

    def begun(self, tenant_id: str, thread_id: UUID) -> str:
        """The stream of the runs that began in a thread lately."""
        return f"{self._prefix}{tenant_id}:thread:{thread_id}:begun"

    def tokens(self, tenant_id: str, run_id: UUID) -> str:
        """A hash: the last index of each (call, attempt) in the live stream."""
        return f"{self._prefix}{tenant_id}:run:{run_id}:tokens"

    def history(self, tenant_id: str, thread_id: UUID) -> str:
        """A hash: pages of a thread's messages, each with the version of the history that it shows."""
        return f"{self._prefix}{tenant_id}:thread:{thread_id}:pages"

    @property
    def _prefix(self) -> str:
        return f"{self.namespace}:" if self.namespace else ""


def stream_id(seq: int, delta: int = 0) -> str:
    """The place of an event or token in its run's live stream. One above its seq: Redis has no entry 0-0."""
    return f"{seq + 1}-{delta}"
