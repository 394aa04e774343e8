"""Clew with one mechanism broken, to prove that the oracle would notice: production code knows nothing of it.

`python -m tests.chaos.mutants NAME SERVICE` patches the named mechanism in this process and then runs the service.
"""

# Private parts are what is broken here.
# pyright: reportPrivateUsage=false

import asyncio
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from pydantic import JsonValue

from clew.chassis.bookmarks import Bookmark, Offsets
from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.lease import Lease
from clew.chassis.partition import Partition
from clew.contracts.envelope import Position
from clew.contracts.execution import PartitionClaimed
from clew.executor.calls import Call, Done, Recorded
from clew.executor.holding import Ownership
from clew.executor.journal import RunJournal
from clew.executor.tool_calls import ToolCall
from clew.memory.decoding import Decoded
from clew.memory.entry import Entry
from clew.memory.intake import Intake
from clew.memory.offsets import Place
from tests.chaos.fleet import Command, plain
from tests.chaos.schedule import BLIND_WAKINGS, LATE_CLAIMS, LATE_WORDS, TAKE_OVERS, Kind

CLAIMED: Final = PartitionClaimed.ce_type().encode()


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mechanism of `services` that `apply` breaks, and the invariants of which at least one must be seen broken when
    `acts` are done."""

    apply: Callable[[], None]
    services: frozenset[str]
    breaks: frozenset[str]
    acts: Sequence[tuple[Kind, str]] = TAKE_OVERS


def commit_early() -> None:
    """What was fetched counts as finished: the commit is the next offset, whatever is under way."""
    _set_bookmark(lambda honest, position: replace(honest, offset=position, finished=Offsets()))


def lie_in_the_bitmap() -> None:
    """What was fetched counts as finished above the commit: a new owner never makes it up."""
    _set_bookmark(lambda honest, position: replace(honest, finished=Offsets.between(honest.offset + 1, position)))


def latest_claim_wins() -> None:
    """A claim takes effect whatever it supersedes, for every reader."""

    def counts(claims: Claims, headers: Sequence[tuple[str, bytes]]) -> bool:
        said = dict(headers)
        claim = said["claim"].decode() if "claim" in said else None
        if said.get("ce_type") == CLAIMED:
            claims.in_force = claim
        return claim == claims.in_force

    _swap(Claims, "counts", counts)


def effect_before_its_start() -> None:
    """A tool's body begins first, and the start of the call is written down behind it."""
    honest, unwritten = RunJournal.started, set[asyncio.Task[None]]()

    async def later(journal: RunJournal, call: Call, request: JsonValue) -> None:
        await asyncio.sleep(1)
        await honest(journal, call, request)

    async def started(journal: RunJournal, call: Call, request: JsonValue) -> None:
        unwritten.add(asyncio.create_task(later(journal, call, request)))

    _swap(RunJournal, "started", started)


def acked_is_valid() -> None:
    """An input is finished, and an effect begins, when the log has taken the record, under whatever claim. The lease
    would hide it from nearly every trial: it is ignored too."""

    async def valid(_: Ownership, _position: Position) -> None:
        return None

    _swap(Ownership, "valid", valid)
    ignore_the_lease()


def deduplicate_before_voiding() -> None:
    """Memory takes a void record for the first of its event id, so that the valid one after it is dropped."""
    honest, seen = Intake.entries, set[bytes]()

    async def entries(intake: Intake, batch: Sequence[Decoded], places: Mapping[tuple[str, int], Place]) -> list[Entry]:
        found = await honest(intake, batch, places)
        for number, entry in enumerate(found):
            event_id = dict(entry.record.headers).get("ce_id", b"")
            if entry.record.topic == CLAIMED_TOPIC and event_id in seen:
                found[number] = entry._replace(event=None)
            seen.add(event_id)
        return found

    _swap(Intake, "entries", entries)


def ignore_the_journal() -> None:
    """Every call is made anew on a take-over, as if nothing had been recorded."""

    def done(_: RunJournal, _call_id: UUID) -> Done | None:
        return None

    def recorded(_: RunJournal, _path: str) -> Mapping[str, Recorded]:
        return {}

    _swap(RunJournal, "done", done)
    _swap(RunJournal, "recorded", recorded)


def retry_an_ask() -> None:
    """A call that was begun and has no end is made again, whatever its policy."""

    async def settle(made: ToolCall, call: Call) -> JsonValue:
        await made.journal.in_doubt(call)
        return None

    _swap(ToolCall, "_settle", settle)


def ignore_the_lease() -> None:
    """A process that wakes up after long goes on at once."""
    _swap(Lease, "fresh", property(lambda _: True))


def _swap(owner: type, name: str, broken: object) -> None:
    if not hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} has no {name}: a mechanism that moved has to be broken where it is now")
    setattr(owner, name, broken)


def _set_bookmark(change: Callable[[Bookmark, int], Bookmark]) -> None:
    honest = Partition.bookmark.fget
    assert honest is not None

    def bookmark(partition: Partition[Any]) -> Bookmark:  # Any: whatever is in hand
        return change(honest(partition), partition.position)

    _swap(Partition, "bookmark", property(bookmark))


CONSUMERS, EXECUTOR, MEMORY = frozenset({"planner", "executor"}), frozenset({"executor"}), frozenset({"memory"})
MUTANTS: Final[dict[str, Mutant]] = {
    "commit-early": Mutant(commit_early, CONSUMERS, frozenset({"I1", "I5"})),
    "lie-in-the-bitmap": Mutant(lie_in_the_bitmap, CONSUMERS, frozenset({"I5"})),
    "latest-claim-wins": Mutant(latest_claim_wins, CONSUMERS | MEMORY, frozenset({"I1", "I2", "I6"}), LATE_CLAIMS),
    "effect-before-its-start": Mutant(effect_before_its_start, EXECUTOR, frozenset({"I2", "I3", "I7"})),
    "acked-is-valid": Mutant(acked_is_valid, EXECUTOR, frozenset({"I1", "I2", "I3", "I5"}), LATE_WORDS),
    "deduplicate-before-voiding": Mutant(deduplicate_before_voiding, MEMORY, frozenset({"I1", "I6", "I7"}), LATE_WORDS),
    "ignore-the-journal": Mutant(ignore_the_journal, EXECUTOR, frozenset({"I2", "I3"})),
    "retry-an-ask": Mutant(retry_an_ask, EXECUTOR, frozenset({"I3"})),
    "ignore-the-lease": Mutant(ignore_the_lease, EXECUTOR, frozenset({"I2", "I3", "I7"}), BLIND_WAKINGS),
}


def mutated(name: str) -> Command:
    """How to run the services with one mechanism broken; those that do not have it run as they are."""

    def command(service: str) -> tuple[str, ...]:
        if service in MUTANTS[name].services:
            return "-m", "tests.chaos.mutants", name, service
        return plain(service)

    return command


def main() -> None:
    name, service = sys.argv[1:]
    MUTANTS[name].apply()
    runpy.run_module(f"clew.{service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
