"""Reads the facts that invariants are about: first the views, then the log up to now, which is never behind them.

A thread is in one partition of every topic, so a long log is judged partition by partition, and no more of it is kept.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

from clew.chassis.blobs import S3BlobStore
from clew.chassis.records import Decoder, Record
from clew.chassis.settings import DatabaseSettings
from clew.cli.errors import Unknown
from clew.contracts.codec import DecodeError
from clew.contracts.deadletters import DeadLetterResolved, RecordDeadLettered
from clew.contracts.envelope import Event, ThreadEvent
from clew.contracts.topics import load_topics
from clew.ops.log import partitions, up_to_now
from clew.ops.verify.facts import Folding, LogFacts, Logged, Place, Row, fold
from clew.views.audit import AuditViews, HeldPartition
from clew.views.door import Views

LETTERS: Final = "dead-letters"
SHORT: Final = 100  # characters of a text; what is made of parts is long at once
TOPICS: Final = tuple(t.name for t in load_topics().topics if t.name not in ("token-deltas", LETTERS))


async def everything(where: DatabaseSettings, take: Callable[[LogFacts], None]) -> None:
    """Gives `take` the log against all that the views hold: a partition of all topics at a time, the dead letters last.
    What was given is not kept."""
    numbers = {tp.partition for tp in await partitions(where, TOPICS)}
    async with views(where) as door:
        for number in sorted(numbers):
            take(await _part(where, door.audit, number))
    take(_facts([], await _letters(where)))


async def _part(where: DatabaseSettings, audit: AuditViews, partition: int) -> LogFacts:
    held = await audit.held(partition)
    return _facts([held], await _folded(where, partition))


async def around_run(where: DatabaseSettings, run_id: UUID) -> LogFacts:
    """A run with its thread. Unknown for a run that the views do not know."""
    async with views(where) as door:
        thread_id, partition = await _place(door.audit, run_id)
        held = await door.audit.held(partition, thread_id)
    log = await _folded(where, partition)
    about = [x for x in log if isinstance(x.event, ThreadEvent) and x.event.thread_id == thread_id]
    letters = await _letters(where)
    return _facts([held], [*about, *(x for x in letters if _names(x.event, run_id))])


def views(where: DatabaseSettings) -> Views:
    return Views(where.database_url.get_secret_value(), None, where.namespace)


async def _place(audit: AuditViews, run_id: UUID) -> tuple[UUID, int]:
    if (place := await audit.place(run_id)) is None:
        raise Unknown(f"there is no run {run_id}")
    return place


def _facts(held: list[HeldPartition], log: list[Logged]) -> LogFacts:
    facts = LogFacts(
        log=log,
        rows=_rows(held),
        statuses={run_id: status for one in held for run_id, status in one.statuses.items()},
        projected={(topic, one.partition): offset for one in held for topic, offset in one.next_offsets.items()},
    )
    return replace(facts, planted=_dealt_with(log))


def _rows(held: list[HeldPartition]) -> list[Row]:
    return [
        Row(event.run_id, event.seq, event.event_id, (event.topic, event.partition, event.offset))
        for one in held
        for event in one.events
    ]


async def _letters(where: DatabaseSettings) -> list[Logged]:
    decoder = Decoder(S3BlobStore(where))
    return fold([(record, await _event(decoder, record)) async for record in up_to_now(where, [LETTERS], None)])


def _names(event: Event | None, run_id: UUID) -> bool:
    """Whether a letter is about the run, or says what became of some letter."""
    return isinstance(event, DeadLetterResolved) or (
        isinstance(event, RecordDeadLettered) and event.run_id == str(run_id)
    )


def _dealt_with(log: list[Logged]) -> frozenset[Place]:
    """The records whose letters are there and are no longer open."""
    letters = {_place_of(x.event) for x in log if isinstance(x.event, RecordDeadLettered)}
    return frozenset(letters & {_place_of(x.event) for x in log if isinstance(x.event, DeadLetterResolved)})


def _place_of(letter: RecordDeadLettered | DeadLetterResolved) -> Place:
    return letter.topic, letter.partition, letter.offset


async def _folded(where: DatabaseSettings, partition: int) -> list[Logged]:
    """One partition of every topic."""
    decoder, folding = Decoder(S3BlobStore(where)), Folding()
    folded: list[Logged] = []
    async for record in up_to_now(where, TOPICS, None, partition):
        event = await _event(decoder, record)
        folded.append(folding.take(record, None if event is None else light(event)))
    return folded


def light(event: Event) -> Event:
    """The event without what runs were given, asked and answered: most of a log, and no invariant is about it. A call
    keeps its key, however long: breaches are told by it."""
    heavy = {name: None for name, value in event if name != "call_key" and _is_long(value)}
    return event.model_copy(update=heavy) if heavy else event


def _is_long(value: object) -> bool:
    return isinstance(value, dict | tuple) or (isinstance(value, str) and len(value) > SHORT)


async def _event(decoder: Decoder, record: Record) -> Event | None:
    try:
        return await decoder.event(record)
    except DecodeError:
        return None
