"""Ids of what a request writes. With an `Idempotency-Key` they are derived, so that a repeat, on any replica and at any
time, appends the same events again and every reader drops them. Nothing is stored for it.

Not a cache of answers: `Recent` only knows what this process has just written, to bridge the moment until the views
have it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from pydantic import BaseModel

from clew.contracts.envelope import ID_NAMESPACE, Position, derive
from clew.gateway.auth import Principal

RECENT = 10_000  # writes remembered; at 1,000 a second it bridges ten seconds, and the views are milliseconds behind


def root_id(principal: Principal, route: str, key: str | None, new_id: Callable[[], UUID]) -> UUID:
    """The id from which all ids of a request are derived; random without a key.

    `route` is the method with the whole path. Each part is derived from the one before and not joined to it, so that no
    subject or key can be made to look like another's.
    """
    if key is None:
        return new_id()
    root = ID_NAMESPACE
    for part in (principal.tenant_id, principal.subject, route, key):
        root = derive(root, part)
    return root


def request_hash(body: BaseModel) -> str:
    """SHA-256 (hex) of what the request says. Defaults are left out: a later version's new field changes none."""
    return sha256(body.model_dump_json(exclude_defaults=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Write:
    """What a request wrote: its hash, and where the log has it (None: not acknowledged)."""

    request_hash: str
    position: Position | None = None


class Recent:
    """The latest writes of this process by the id of what they made, and by the root id of their request."""

    def __init__(self, size: int = RECENT) -> None:
        self._size = size
        self._writes: OrderedDict[UUID, Write] = OrderedDict()

    def get(self, made: UUID) -> Write | None:
        return self._writes.get(made)

    def put(self, made: UUID, write: Write) -> None:
        self._writes[made] = write
        self._writes.move_to_end(made)
        if len(self._writes) > self._size:
            self._writes.popitem(last=False)

    def drop(self, made: UUID) -> None:
        self._writes.pop(made, None)
