"""What is read back of a run of which this version cannot read everything: it is torn, wherever that stands."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest

from clew.chassis.claims import Claims
from clew.chassis.errors import LogUnreachable
from clew.chassis.records import Record
from clew.contracts import codec
from clew.contracts.envelope import Event
from clew.contracts.topics import topic_of
from clew.executor.claiming import Bid
from clew.executor.recall import Reading, Recall
from clew.views.database import ViewsUnavailable
from clew.views.recovery import PartitionSnapshot, RunRecord
from tests.support.owners import RunStory, claimed

CLAIM = "mine"


async def decode(record: Record) -> Event:
    return codec.decode(codec.attributes(record.headers), record.value)


@dataclass
class Store:
    """Views that have nothing but what is put into them; the log is read behind `offset`."""

    views: RunRecord = field(default_factory=RunRecord)
    offset: int = 0

    async def snapshot(self, partition: int) -> PartitionSnapshot:
        return PartitionSnapshot(CLAIM, {"task-updates": self.offset}, {}, {})

    async def run_records(self, run_ids: Sequence[UUID], partition: int) -> PartitionSnapshot:
        records = {run_id: RunRecord(list(self.views.events), [], set(self.views.unreadable)) for run_id in run_ids}
        return PartitionSnapshot(CLAIM, {"task-updates": self.offset}, records, {})


@dataclass
class Source:
    """The log of a partition, by topic."""

    records: Mapping[str, Sequence[Record]]

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        for record in self.records.get(topic, ()):
            if start <= record.offset < (end or record.offset + 1):
                yield record


def log_of(*events: Event, unreadable: int | None = None, type_: bytes = b"clew.call-started.v2") -> Source:
    """A log with these events behind their claim; the one at `unreadable` of `task-updates` is of a type that this
    version does not know."""
    records: dict[str, list[Record]] = {}
    for event in (claimed(CLAIM, None), *events):
        topic = topic_of(type(event)).name
        wire = codec.encode(event, source="executor", claim=CLAIM)
        there = records.setdefault(topic, [])
        headers = list(wire.headers)
        if topic == "task-updates" and len(there) == unreadable:
            headers = [(name, type_ if name == "ce_type" else value) for name, value in headers]
        there.append(Record(topic, 0, len(there), datetime(2026, 11, 21, tzinfo=UTC), wire.key, wire.value, headers))
    return Source(records)


@pytest.mark.parametrize("type_", [b"clew.call-started.v2", b"clew.never-heard-of.v1"])
@pytest.mark.parametrize("unreadable", [0, 1, 2, None])
@pytest.mark.parametrize("way", ["run", "partition"])
async def test_a_journal_with_an_event_that_cannot_be_read_is_torn_there(
    unreadable: int | None, type_: bytes, way: Literal["run", "partition"]
) -> None:
    story, other = RunStory(), RunStory()
    events = [story.planned(), *story.begun(), other.planned(), *other.begun()]
    assert [topic_of(type(event)).name for event in events].count("task-updates") == 6
    place = None if unreadable is None else 1 + unreadable  # behind the claim
    recall = Recall(Store(), log_of(*events, unreadable=place, type_=type_), decode)
    if way == "run":
        pasts = {run_id: await recall.run_past(0, run_id) for run_id in (story.run_id, other.run_id)}
    else:
        reading = Reading(0, await Store().snapshot(0), Bid(Claims()), 0)
        await recall.read_on(reading)
        pasts = dict((await recall.partition_past(reading)).open)
    assert pasts[story.run_id].torn == (None if unreadable is None else 2 + unreadable)
    assert pasts[other.run_id].torn is None, "another run is not harmed"


async def test_what_only_the_views_cannot_give_is_read_from_the_log() -> None:
    story = RunStory()
    plan, begun = story.planned(), story.begun()
    store = Store(RunRecord([plan, *begun[:-1]], [], unreadable={"a row"}), offset=1 + len(begun))
    assert (await Recall(store, log_of(plan, *begun), decode).run_past(0, story.run_id)).torn is None
    past = await Recall(store, log_of(plan, *begun, unreadable=3), decode).run_past(0, story.run_id)
    assert past.torn == 4


@dataclass
class Unreliable:
    """Views that are away when they are asked first, and a log that breaks off in the middle of what is read next."""

    source: Source
    store: Store
    asked: int = 0

    async def run_records(self, run_ids: Sequence[UUID], partition: int) -> PartitionSnapshot:
        self._ask()
        return await self.store.run_records(run_ids, partition)

    async def snapshot(self, partition: int) -> PartitionSnapshot:
        self._ask()
        return await self.store.snapshot(partition)

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        async for record in self.source.read(topic, partition, start, end):
            yield record
            if topic == "run-signals" and self.asked == 2:
                raise LogUnreachable("the leader is gone")

    def _ask(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise ViewsUnavailable("starting up")


async def test_views_and_log_that_are_away_are_waited_for_and_nothing_is_taken_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clew.executor.recovery.PATIENCE", timedelta(0))
    story = RunStory()
    decided = story.decided()
    away = Unreliable(log_of(story.planned(), *story.begun(), decided), Store())
    past = await Recall(away, away, decode).run_past(0, story.run_id)
    assert ([event.seq for event in past.events], past.signals, past.torn) == ([2, 3, 4], (decided,), None)
    assert away.asked == 3
    away.asked = 0
    assert (await Recall(away, away, decode).begin(0)).position == 0
