"""All that is known when a trial is over, as values: what the oracle reasons about. It reads nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from clew.contracts.conversation import OnBusy, UserMessageReceived, text_of
from clew.ops.verify.facts import LogFacts
from tests.chaos.script import Asked, script_in
from tests.support.outside import Effect, Entry

Json = dict[str, Any]  # Any: whatever the API answers


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the gateway acknowledged."""

    token: str
    run_id: UUID
    thread_id: UUID
    on_busy: OnBusy = "enqueue"


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset commit that the broker took: everything below `offset` is finished, and so are those in `above`."""

    at: float
    group: str  # the service
    topic: str
    partition: int
    offset: int
    above: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a client was sent of a run, over all its connections, and what the views hold of it: both as the API says
    it. Tokens are in `events` only."""

    run_id: UUID
    events: Sequence[Json]
    held: Sequence[Json]


@dataclass(frozen=True)
class Facts(LogFacts):
    """A trial that is over. `planted`: the places of the poison. `differing`: rows that a rebuild has otherwise."""

    sent: Sequence[Sent] = ()
    ledger: Sequence[Entry] = ()
    effects: Sequence[Effect] = ()
    asked: Sequence[Asked] = ()
    commits: Sequence[Commit] = ()
    streams: Sequence[Streamed] = ()
    torn: Sequence[tuple[UUID, str]] = ()  # streams that were cut off with these words: an event is missing for ever
    differing: Sequence[str] = ()

    @cached_property
    def run_of(self) -> dict[str, UUID]:
        """The run of each script's token."""
        found: dict[str, UUID] = {}
        for logged in self.messages:
            assert isinstance(logged.event, UserMessageReceived)
            script = script_in(text_of(logged.event.content))
            if script is not None:
                found[script.token] = logged.event.run_id
        return found

    @cached_property
    def token_of(self) -> dict[UUID, str]:
        """The script's token of each run."""
        return {run_id: token for token, run_id in self.run_of.items()}
