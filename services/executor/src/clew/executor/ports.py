"""What owning a partition needs of the log and of the consumer group. The chassis has the real ones."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from clew.contracts.envelope import Event, Position
from clew.executor.claiming import Headers
from clew.executor.owned import Receipt

StillMember: TypeAlias = Callable[[int], Awaitable[bool]]


class Sender(Protocol):
    """The log's near end."""

    async def send(self, event: Event, *, claim: str | None = None) -> Awaitable[Position]: ...


@runtime_checkable
class AtOnce(Protocol):
    """A sender that can take an event without being awaited, and says so when it cannot just now."""

    def send_now(self, event: Event, *, claim: str | None = None) -> Receipt | None: ...


class Lease(Protocol):
    """Whether the group has heard of this process lately enough."""

    @property
    def fresh(self) -> bool: ...
    async def wait(self) -> None: ...


class Follower(Protocol):
    """Reads partitions of `task-updates` on for as long as they are followed; what lies before `known()` it may leave
    out."""

    def follow(self, partition: int, take: Callable[[int, Headers], None], known: Callable[[], int]) -> None: ...
    def leave(self, partition: int) -> None: ...
    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Group:
    """This process's place in the consumer group. `still_member(p)` is sure that partition p is ours in the present
    generation, and costs a commit; `lease` costs nothing."""

    lease: Lease
    still_member: StillMember
