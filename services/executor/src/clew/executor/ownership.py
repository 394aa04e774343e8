"""Owning partitions: taking them over with claims on the log, and losing them.

`Owners` takes partitions over as the group assigns them; an `Ownership` (`holding`) lasts from the moment its claim is
in force until it is lost. What a claim is worth is decided in `claiming`, what runs went through is read by `recall`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

from clew.chassis.clock import Clock, monotonic
from clew.chassis.errors import AckTimeout, Fenced, LogUnreachable
from clew.contracts.envelope import SYSTEM_TENANT, root_stamp
from clew.contracts.execution import PartitionClaimed
from clew.executor.claiming import Headers, Next, Pace
from clew.executor.holding import Ownership
from clew.executor.past import PartitionPast, RunPast
from clew.executor.ports import Follower, Group, Sender
from clew.executor.recall import Reading, Recall

PAUSE = 0.2  # seconds between two questions to the group
AWAY = 1.0  # seconds between two tries to reach a log that is away
STUCK_AFTER = 60.0  # seconds; a broker that restarts is back before
log = logging.getLogger(__name__)


class Owners:
    """The partitions of one executor process. An async context manager, so that what is written while handlers drain
    is still read back; `recover` and `forget` are hooks for `service.on_partition`, `watch` is for `service.task`.

    `taken` is told of each partition that is owned now, with its past; `lost` when it no longer is. A partition that
    somebody else claimed although the group gave it to us is lost, and taken again if the group stands by it.
    """

    def __init__(
        self,
        owner: str,
        recall: Recall,
        follower: Follower,
        sender: Sender,
        group: Group,
        now: Clock,
        new_id: Callable[[], UUID],
        taken: Callable[[Ownership, PartitionPast], None],
        lost: Callable[[int], None],
    ) -> None:
        self._owner = owner
        self._recall = recall
        self._follower = follower
        self._sender = sender
        self._group = group
        self._now = now
        self._new_id = new_id
        self._taken = taken
        self._lost = lost
        self._wanted: dict[int, object] = {}  # of each partition that the group gave us, the token of that gift
        self._claimed: dict[int, Ownership] = {}  # the claim is in force, the past may still be read
        self._owned: dict[int, Ownership] = {}
        self._again: dict[int, asyncio.Task[None]] = {}
        self._paces: defaultdict[int, Pace] = defaultdict(Pace)
        self._tasks: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="owners")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])

    async def _run(self) -> None:
        """Follows the partitions that are owned, and claims again those that were taken from us. Never ends."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._follower.run(), name="follower")

    async def watch(self) -> None:
        """Raises what ended the following of partitions: without it nothing can be written."""
        await asyncio.shield(self._running)

    def of(self, partition: int) -> Ownership:
        """Raises Fenced when the partition is not ours, or not yet."""
        owned = self._owned.get(partition)
        if owned is None or owned.lost:
            raise Fenced(f"partition {partition} is not owned here")
        return owned

    async def stuck(self) -> str | None:
        """A condition of liveness: None while what is written is read back in time."""
        longest = max((ownership.silent_for for ownership in self._owned.values()), default=0.0)
        return None if longest < STUCK_AFTER else f"records were written and not read back for {longest:.0f} s"

    async def past(self, partition: int, run_id: UUID) -> RunPast:
        """What a run has been through that is not in memory, of whatever age and state. Waits for Postgres."""
        return await self._recall.run_past(partition, run_id)

    # -- the hooks

    async def recover(self, partition: int) -> None:
        """Returns once the partition is owned and `taken` was told. Raises Fenced when it is forgotten meanwhile."""
        self._wanted[partition] = gift = object()
        await self._insist(partition, gift)

    def forget(self, partition: int) -> None:
        """The group gave the partition to somebody else, or took it from all: it is not claimed any more."""
        self._wanted.pop(partition, None)
        if (again := self._again.pop(partition, None)) is not None:
            again.cancel()
        self._end(partition)

    # -- taking over. What is done for a `gift` ends with it, also in a task that was cancelled and did not notice.

    async def _insist(self, partition: int, gift: object) -> None:
        while True:
            try:
                return await self._take_over(partition, gift)
            except (LogUnreachable, AckTimeout) as error:
                log.warning("partition %d waits for the log: %s", partition, error)
                await asyncio.sleep(AWAY)

    def _check(self, partition: int, gift: object) -> None:
        if self._wanted.get(partition) is not gift:
            raise Fenced(f"partition {partition} was taken from us while it was taken over")

    async def _take_over(self, partition: int, gift: object) -> None:
        began = monotonic()
        while True:
            reading = await self._recall.begin(partition)
            await self._until_claimed(reading, gift)
            self._check(partition, gift)
            ownership = Ownership(partition, reading.bid, reading.position, self._sender, self._group.lease)
            self._claimed[partition] = ownership
            self._follower.follow(partition, self._taker(ownership), ownership.known)
            past = await self._recall.partition_past(reading)
            if not ownership.lost:
                break
            await self._until_member(partition, gift)
        self._owned[partition] = ownership
        self._taken(ownership, past)
        log.info("partition %d is ours with %d open runs, after %.2f s", partition, len(past.open), monotonic() - began)

    async def _until_claimed(self, reading: Reading, gift: object) -> None:
        bid = reading.bid
        while (step := bid.next(self._group.lease.fresh)) is not Next.OWN:
            self._check(reading.partition, gift)
            match step:
                case Next.READ:
                    await self._recall.read_on(reading)
                    bid.caught_up()
                case Next.WAIT:
                    await self._group.lease.wait()
                case Next.CLAIM:
                    await self._claim(reading)
                case Next.ASK:
                    await self._until_member(reading.partition, gift)
                    bid.go_on()

    async def _claim(self, reading: Reading) -> None:
        """Sends a claim and reads up to it."""
        claim = self._new_id().hex
        event = PartitionClaimed(
            **root_stamp(self._new_id(), SYSTEM_TENANT, self._now()),
            partition=reading.partition,
            claim=claim,
            supersedes=reading.bid.send(claim),
            owner=self._owner,
        )
        position = await (await self._sender.send(event, claim=claim))
        await self._recall.read_on(reading, position.offset + 1)

    async def _until_member(self, partition: int, gift: object) -> None:
        """Somebody else's claim took effect: the group says whose the partition is. Fenced when it was forgotten."""
        pause = self._paces[partition].pause(monotonic())
        log.warning("partition %d was claimed by somebody else: asking the group, in %g s", partition, pause)
        await asyncio.sleep(pause)
        while True:
            self._check(partition, gift)
            if await self._group.still_member(partition):
                return
            await asyncio.sleep(PAUSE)

    def _taker(self, ownership: Ownership) -> Callable[[int, Headers], None]:
        def take(offset: int, headers: Headers) -> None:
            if not ownership.take(offset, headers):
                self._outbid(ownership)

        return take

    def _outbid(self, ownership: Ownership) -> None:
        partition = ownership.partition
        was_owned = partition in self._owned
        self._end(partition)
        if was_owned and self._tasks is not None:  # else whoever is taking it over sees that it is lost
            self._again[partition] = self._tasks.create_task(self._reclaim(partition), name=f"reclaim {partition}")

    async def _reclaim(self, partition: int) -> None:
        gift = self._wanted[partition]
        with suppress(Fenced):
            await self._until_member(partition, gift)
            await self._insist(partition, gift)

    def _end(self, partition: int) -> None:
        self._follower.leave(partition)
        if (claimed := self._claimed.pop(partition, None)) is not None:
            claimed.end()
        if self._owned.pop(partition, None) is not None:
            self._lost(partition)
