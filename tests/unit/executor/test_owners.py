"""Partitions that change hands while they are taken over: what was begun for an assignment ends with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.errors import AckTimeout, Fenced
from clew.chassis.records import Record
from clew.contracts import codec
from clew.contracts.envelope import Event, Position
from clew.executor.claiming import LONGEST_PAUSE, Headers, Pace
from clew.executor.ownership import Owners
from clew.executor.ports import Group
from clew.executor.recall import Recall
from clew.views.recovery import PartitionSnapshot
from tests.support.owners import ScriptedGroup

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class OneLog:
    """One partition of `task-updates` in memory, which many write and read."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.followers: dict[object, Callable[[int, Headers], None]] = {}

    @property
    def owners(self) -> list[str]:
        """Who claimed, in the order of the log."""
        return [str(codec.decode(codec.attributes(r.headers), r.value).model_dump()["owner"]) for r in self.records]

    def append(self, event: Event, claim: str | None) -> int:
        wire = codec.encode(event, source="executor", traceparent=None, claim=claim)
        offset = len(self.records)
        self.records.append(Record(CLAIMED_TOPIC, 0, offset, NOW, wire.key, wire.value, wire.headers))
        for take in list(self.followers.values()):
            take(offset, wire.headers)
        return offset


class Process:
    """One process: its reader, which can be held and then swallows a cancellation, its follower, and its sender."""

    def __init__(self, log: OneLog, name: str) -> None:
        self.log = log
        self.group = ScriptedGroup()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.failures = 0
        recall = Recall(self, self, self._decode)
        self.taken = 0
        self.owners = Owners(
            name,
            recall,
            self,
            self,
            Group(self.group, self.group.still_member),
            lambda: NOW,
            uuid4,
            self._taken,
            lambda _: None,
        )

    def _taken(self, *_: object) -> None:
        self.taken += 1

    async def _decode(self, record: Record) -> Event:
        return codec.decode(codec.attributes(record.headers), record.value)

    async def snapshot(self, partition: int) -> PartitionSnapshot:
        await asyncio.sleep(0)
        return PartitionSnapshot(next_offsets={}, claim=None, running={}, suspended={})

    async def run_records(self, run_ids: Sequence[UUID], partition: int) -> PartitionSnapshot:
        return await self.snapshot(partition)

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]:
        while not self.may_read.is_set():
            with suppress(asyncio.CancelledError):
                await self.may_read.wait()
        for record in self.log.records[start:end] if topic == CLAIMED_TOPIC else []:
            yield record

    async def send(self, event: Event, *, claim: str | None = None) -> Awaitable[Position]:
        ack: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        offset = self.log.append(event, claim)
        if self.failures:
            self.failures -= 1
            ack.set_exception(AckTimeout("the broker was restarted"))
        else:
            ack.set_result(Position(topic=CLAIMED_TOPIC, partition=0, offset=offset))
        return ack

    def follow(self, partition: int, start: int, take: Callable[[int, Headers], None]) -> None:
        for record in self.log.records[start:]:
            take(record.offset, record.headers)
        self.log.followers[self] = take

    def leave(self, partition: int) -> None:
        self.log.followers.pop(self, None)

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_a_take_over_of_a_partition_that_was_taken_away_never_claims() -> None:
    log = OneLog()
    five, four = Process(log, "five"), Process(log, "four")
    five.may_read.clear()
    late = asyncio.create_task(five.owners.recover(0))
    await asyncio.sleep(0)
    late.cancel()  # it is swallowed, as aiokafka does
    five.owners.forget(0)
    await four.owners.recover(0)
    five.may_read.set()
    await asyncio.wait([late])
    assert log.owners == ["four"]
    assert (five.taken, four.taken, five.group.asked) == (0, 1, 0)


async def test_who_is_outbid_while_it_asks_the_group_and_is_forgotten_does_not_claim() -> None:
    log = OneLog()
    async with (one := Process(log, "one")).owners:
        await one.owners.recover(0)
        one.group.member = False
        await Process(log, "two").owners.recover(0)
        one.owners.forget(0)
        one.group.member = True  # of the generation in which the partition is another's
        await asyncio.sleep(0.5)
    assert log.owners == ["one", "two"]


async def test_who_is_outbid_claims_again_only_when_the_group_says_that_the_partition_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clew.executor.ownership.PAUSE", 0.01)
    log = OneLog()
    async with (one := Process(log, "one")).owners:
        await one.owners.recover(0)
        one.group.member = False
        await Process(log, "two").owners.recover(0)
        await asyncio.sleep(0.1)
        assert log.owners == ["one", "two"]
        one.group.member = True
        await asyncio.sleep(0.1)
    assert log.owners == ["one", "two", "one"]


async def test_nothing_begins_on_a_stale_lease_and_what_waits_for_it_ends_with_the_partition() -> None:
    async with (one := Process(OneLog(), "one")).owners:
        await one.owners.recover(0)
        one.group.stale()
        begins = [asyncio.create_task(one.owners.of(0).may_begin()) for _ in range(2)]
        await asyncio.wait(begins, timeout=0.02)
        assert not any(begin.done() for begin in begins)
        one.group.renewed()
        await asyncio.gather(*begins)
        one.group.stale()
        too_late = asyncio.create_task(one.owners.of(0).may_begin())
        await asyncio.sleep(0.01)
        one.owners.forget(0)
        with pytest.raises(Fenced):
            await too_late


async def test_a_claim_without_an_acknowledgement_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.executor.ownership.AWAY", 0.01)
    log = OneLog()
    one = Process(log, "one")
    one.failures = 2
    await asyncio.wait_for(one.owners.recover(0), 5)
    assert log.owners == ["one"] * 3
    assert not one.owners.of(0).lost


async def test_two_that_both_believe_to_own_a_partition_claim_it_less_and_less_often() -> None:
    log = OneLog()
    async with (one := Process(log, "one")).owners, (two := Process(log, "two")).owners:
        await one.owners.recover(0)
        await two.owners.recover(0)
        await asyncio.sleep(1.2)
    assert 4 <= len(log.owners) <= 7


def test_the_pause_before_another_claim_doubles_is_bounded_and_is_forgotten() -> None:
    pace = Pace()
    pauses = [pace.pause(at) for at in range(8)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]
    assert pace.pause(1000) == 0.0
