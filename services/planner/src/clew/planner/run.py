"""What is known of one run of a thread, and what follows from it for those behind it. Pure; `thread` makes it."""

from dataclasses import dataclass
from uuid import UUID

from clew.contracts.conversation import FinalStatus, UserMessageReceived
from clew.contracts.envelope import Position


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run. `message` is kept only until it is settled what becomes of it.

    `place` is where it stands among the thread's messages; None before its message was read, and for a fork.
    `pulse` is the greatest `seq` of a start, suspension or resumption, and whether the run waits for a person since.
    `steered_into` is the run that was to hear its message; `missed`, that this one had ended by then.
    """

    run_id: UUID
    place: int | None = None
    message: UserMessageReceived | None = None
    received_at: Position | None = None
    asked_parent: UUID | None = None
    sibling_of: UUID | None = None
    planned: bool = False
    parent_run_id: UUID | None = None
    refused: bool = False
    forked: bool = False
    pulse: tuple[int, bool] = (-1, False)
    ended: FinalStatus | None = None
    ended_at: Position | None = None
    steered_into: UUID | None = None
    missed: bool = False

    @property
    def begun(self) -> bool:
        """There is a plan, or the executor has shown that there is one."""
        return self.planned or self.forked or self.pulse[0] >= 0 or self.ended == "completed"

    @property
    def void(self) -> bool:
        """It ended before it began: no branch goes through it."""
        return self.refused or (self.ended is not None and not self.begun)

    @property
    def open(self) -> bool:
        """Planned and not ended."""
        return self.begun and not self.refused and self.ended is None

    @property
    def queued(self) -> bool:
        return self.message is not None and not self.begun and not self.void

    @property
    def live(self) -> bool:
        return self.queued or self.open

    @property
    def in_the_way(self) -> bool:
        """Whatever follows it on its branch has to wait. A fork or a run that waits for a person keeps nobody."""
        return self.queued or (self.open and not self.forked and not self.pulse[1])
