"""Reads back what runs of a partition have been through: a snapshot of the views, and the log from there on.

It decides nothing: what the records say of a partition is `past`'s, whose the partition is `ownership`'s business.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.records import Record
from clew.contracts.codec import DecodeError
from clew.contracts.envelope import Event, RunEvent, RunScoped
from clew.contracts.execution import RunSuspended
from clew.contracts.planning import PlanCreated
from clew.executor.claiming import Bid
from clew.executor.past import UNNUMBERED, PartitionPast, RunPast, Tail, about, run_past
from clew.executor.recovery import until_available
from clew.views.recovery import PartitionSnapshot, RunRecord

PLANS = "plans"
SIGNALS = "run-signals"
DECODED_AT_ONCE = 100  # events between two turns of the event loop: journals are long, and other partitions at work
log = logging.getLogger(__name__)
Decode: TypeAlias = Callable[[Record], Awaitable[Event]]
Found: TypeAlias = Mapping[UUID, RunRecord]


class RunStore(Protocol):
    """What memory has projected. Both raise ViewsUnavailable when it cannot be asked."""

    async def snapshot(self, partition: int) -> PartitionSnapshot: ...
    async def run_records(self, run_ids: Sequence[UUID], partition: int) -> PartitionSnapshot: ...


class LogSource(Protocol):
    """Ranges of the log; without an end, up to where it ends now. LogUnreachable when no broker answers."""

    def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Record]: ...


@dataclass(slots=True)
class Reading:
    """A partition that is being read: what the views had, what came after it, and where the next record is."""

    partition: int
    snapshot: PartitionSnapshot
    bid: Bid
    position: int
    tail: Tail = field(default_factory=Tail)


@dataclass(slots=True, eq=False)
class _Batch:
    """Runs of a partition that are asked for together."""

    run_ids: set[UUID] = field(default_factory=set[UUID])
    pasts: Mapping[UUID, RunPast] | None = None


class Recall:
    """Reads partitions and runs back. Waits as long as the views are away; for single runs, for the log as well."""

    def __init__(self, store: RunStore, source: LogSource, decode: Decode) -> None:
        self._store = store
        self._source = source
        self._decode = decode
        self._batches: dict[int, _Batch] = {}
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    # -- a partition

    async def begin(self, partition: int) -> Reading:
        """The views of a partition, all of one moment; the log is read from there with `read_on`."""
        snapshot = await until_available(lambda: self._store.snapshot(partition))
        start = snapshot.next_offsets.get(CLAIMED_TOPIC, 0)
        return Reading(partition, snapshot, Bid(Claims(snapshot.claim)), start)

    async def read_on(self, reading: Reading, end: int | None = None) -> None:
        """Reads the partition up to offset `end`, or to where it ends now."""
        async for record in self._source.read(CLAIMED_TOPIC, reading.partition, reading.position, end):
            if reading.bid.take(record.headers):
                reading.tail.take(record)
            reading.position = record.offset + 1

    async def partition_past(self, reading: Reading) -> PartitionPast:
        """What the reading says, with the tails of the other topics."""
        snapshot, tail = reading.snapshot, reading.tail
        under_way = tail.open(snapshot.running, snapshot.suspended)
        found = {run_id: record for run_id, record in snapshot.running.items() if run_id in under_way}
        if late := [run_id for run_id in under_way if run_id not in found]:  # taken up, or resumed, after the snapshot
            found |= (await until_available(lambda: self._store.run_records(late, reading.partition))).running
        await self._add_all(found, [record for run_id in found for record in tail.records.get(run_id, ())])
        return PartitionPast(
            open=await self._completed(found, reading.partition, snapshot.next_offsets),
            ended=frozenset(tail.ended),
            suspended=await self._wake_times(reading),
        )

    # -- a run

    async def run_past(self, partition: int, run_id: UUID) -> RunPast:
        """One run, whatever its state. Those that are asked for while a reading is under way share the next one."""
        batch = self._batches.setdefault(partition, _Batch())
        batch.run_ids.add(run_id)
        lock = self._locks.setdefault(partition, asyncio.Lock())
        async with lock:
            if self._batches.get(partition) is batch:
                del self._batches[partition]
            if batch.pasts is None:
                batch.pasts = await until_available(lambda: self._pasts(partition, list(batch.run_ids)))
        return batch.pasts[run_id]

    async def _pasts(self, partition: int, run_ids: Sequence[UUID]) -> Mapping[UUID, RunPast]:
        snapshot = await self._store.run_records(run_ids, partition)
        start = snapshot.next_offsets.get(CLAIMED_TOPIC, 0)
        await self._add_valid(snapshot.running, partition, start, Claims(snapshot.claim))
        return await self._completed(snapshot.running, partition, snapshot.next_offsets)

    # -- what the log adds

    async def _completed(self, found: Found, partition: int, offsets: Mapping[str, int]) -> dict[UUID, RunPast]:
        """The pasts of runs whose journals were read, after the rest was: plans, signals, and whatever is missing."""
        if found:
            for topic in (PLANS, SIGNALS):
                await self._add_from(found, topic, partition, offsets.get(topic, 0))
        pasts = {run_id: _past(record) for run_id, record in found.items()}
        if torn := {run_id: found[run_id] for run_id, past in pasts.items() if past.torn is not None}:
            log.warning("journals have gaps and are read from the log itself: runs %s", ", ".join(map(str, torn)))
            for record in torn.values():
                record.unreadable.clear()
            await self._add_valid(torn, partition, 0, Claims())
            if any(pasts[run_id].plan is None for run_id in torn):
                await self._add_from(torn, PLANS, partition, 0)
            pasts |= {run_id: _past(record) for run_id, record in torn.items()}
        return pasts

    async def _add_valid(self, found: Found, partition: int, start: int, claims: Claims) -> None:
        async for record in self._source.read(CLAIMED_TOPIC, partition, start):
            if claims.counts(record.headers) and about(record)[0] in found:
                await self._add(found, record)

    async def _add_from(self, found: Found, topic: str, partition: int, start: int) -> None:
        async for record in self._source.read(topic, partition, start):
            if about(record)[0] in found:
                await self._add(found, record)

    async def _add_all(self, found: Found, records: Sequence[Record]) -> None:
        for n, record in enumerate(records):
            if n % DECODED_AT_ONCE == 0:
                await asyncio.sleep(0)
            await self._add(found, record)

    async def _add(self, found: Found, record: Record) -> None:
        match await self._event(record):
            case RunEvent() as event if event.run_id in found:
                found[event.run_id].events.append(event)
            case RunScoped() as signal if record.topic == SIGNALS and signal.run_id in found:
                found[signal.run_id].signals.append(signal)
            case None:
                run_id, kind = about(record)
                if run_id is not None and record.topic == CLAIMED_TOPIC and kind not in UNNUMBERED:
                    found[run_id].unreadable.add(dict(record.headers).get("ce_id", b"").decode(errors="replace"))
            case _:
                pass

    async def _wake_times(self, reading: Reading) -> dict[UUID, datetime | None]:
        """When each suspended run is to go on, by what was last said of it."""
        before = {run_id: said.wake_at for run_id, said in reading.snapshot.suspended.items()}
        asleep = reading.tail.asleep(before)
        events = [await self._event(record) for record in reading.tail.suspended.values()]
        after = {event.run_id: event.wake_at for event in events if isinstance(event, RunSuspended)}
        return {run_id: after.get(run_id, before.get(run_id)) for run_id in asleep}

    async def _event(self, record: Record) -> Event | None:
        """None for what cannot be read."""
        try:
            return await self._decode(record)
        except DecodeError as error:
            log.warning("%s/%d/%d is no event and is left out: %s", *_place(record), error)
            return None


def _past(record: RunRecord) -> RunPast:
    plan = next((event for event in record.events if isinstance(event, PlanCreated)), None)
    return run_past(plan, record.events, record.signals, len(record.unreadable))


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset
