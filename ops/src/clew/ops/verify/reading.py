"""Reads the facts that invariants are about: first the views, then the log up to now, which is never behind them."""

from collections.abc import AsyncIterator
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
from clew.ops.log import up_to_now
from clew.ops.verify.facts import LogFacts, Logged, Place, Row, fold
from clew.views.audit import AuditViews, HeldPartition
from clew.views.door import Views

LETTERS: Final = "dead-letters"
TOPICS: Final = tuple(t.name for t in load_topics().topics if t.name not in ("token-deltas", LETTERS))


async def everything(where: DatabaseSettings) -> LogFacts:
    """The whole log against all that the views hold. Keeps every event in memory: for a log of millions take runs."""
    async with views(where) as door:
        held = [await door.audit.held(number) for number in range(await door.audit.partitions())]
    log = fold([pair async for pair in _decoded(where, None)])
    return _facts(held, [*log, *await _letters(where)])


async def around_run(where: DatabaseSettings, run_id: UUID) -> LogFacts:
    """A run with its thread. Unknown for a run that the views do not know."""
    async with views(where) as door:
        thread_id, partition = await _place(door.audit, run_id)
        held = await door.audit.held(partition, thread_id)
    log = fold([pair async for pair in _decoded(where, partition)])
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


async def _decoded(where: DatabaseSettings, partition: int | None) -> AsyncIterator[tuple[Record, Event | None]]:
    decoder = Decoder(S3BlobStore(where))
    async for record in up_to_now(where, TOPICS, None, partition):
        yield record, await _event(decoder, record)


async def _event(decoder: Decoder, record: Record) -> Event | None:
    try:
        return await decoder.event(record)
    except DecodeError:
        return None
