"""One partition that is owned: writing under its claim, and reading back what was written. It claims nothing."""

import asyncio
from collections.abc import Awaitable
from functools import cache

from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.clock import monotonic
from clew.chassis.errors import Fenced
from clew.contracts.envelope import Event, Position
from clew.contracts.topics import topic_of
from clew.executor.claiming import Bid, Headers, Stage
from clew.executor.owned import Receipt
from clew.executor.ports import AtOnce, Lease, Sender

UNDER_CLAIM = frozenset({CLAIMED_TOPIC, "token-deltas"})  # the topics whose records say under which claim they are


class Ownership:
    """One partition, from the moment its claim is in force until it is lost. Then everything raises Fenced."""

    def __init__(self, partition: int, bid: Bid, position: int, sender: Sender, lease: Lease) -> None:
        if bid.stage is not Stage.OWNER or bid.mine is None:
            raise ValueError(f"the claim on partition {partition} is not in force")
        self.partition = partition
        self.claim = bid.mine
        self._bid = bid
        self._next = position  # all before it was read back
        self._sender = sender
        self._prompt = sender if isinstance(sender, AtOnce) else None
        self._lease = lease
        self._ended = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._moved = 0.0  # when a record was last read back that somebody waited for

    @property
    def lost(self) -> bool:
        return self._ended.is_set()

    async def send(self, event: Event) -> Awaitable[Position]:
        """Hands an event to the log, under this claim where its topic knows claims. Await the result for the ack,
        which says where the record is and not that it counts: that is for `valid`."""
        self._raise_if_lost()
        return await self._sender.send(event, claim=self._claim_for(event))

    def send_now(self, event: Event) -> Receipt | None:
        """As `send`, where nothing has to be waited for; else None, and nothing was sent."""
        self._raise_if_lost()
        return None if self._prompt is None else self._prompt.send_now(event, claim=self._claim_for(event))

    def _claim_for(self, event: Event) -> str | None:
        return self.claim if _knows_claims(type(event)) else None

    async def valid(self, position: Position) -> None:
        """Returns once the record that was sent to `position` under this claim was read back, and counts.

        The claim has been in force without a break as far as was read: so a place that was passed is valid.
        """
        self._raise_if_lost()
        if position.offset < self._next:
            return
        if not self._waiting:
            self._moved = monotonic()
        read_back = self._waiting.get(position.offset)
        if read_back is None:
            read_back = self._waiting[position.offset] = asyncio.get_running_loop().create_future()
        if not await asyncio.shield(read_back):
            raise self._fenced()

    async def may_begin(self) -> None:
        """Returns when the lease is fresh and the partition ours."""
        while not self.lost and not self._lease.fresh:
            waits = [asyncio.ensure_future(self._lease.wait()), asyncio.ensure_future(self._ended.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        self._raise_if_lost()

    def take(self, offset: int, headers: Headers) -> bool:
        """Takes in the next record of the partition. False when with it somebody else's claim took effect."""
        self._bid.take(headers)
        if self._bid.stage is not Stage.OWNER:
            return False
        self._next = offset + 1
        if self._waiting and (read_back := self._waiting.pop(offset, None)) is not None:
            read_back.set_result(True)
            self._moved = monotonic()
        return True

    @property
    def silent_for(self) -> float:
        """Seconds for which records were waited for and none came; 0 when none is waited for."""
        return monotonic() - self._moved if self._waiting else 0.0

    def end(self) -> None:
        """The partition is lost. Whoever waits for a record to be read back is told."""
        self._ended.set()
        for read_back in self._waiting.values():
            read_back.set_result(False)
        self._waiting.clear()

    def _raise_if_lost(self) -> None:
        if self.lost:
            raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(f"claim {self.claim} on partition {self.partition} is lost")


@cache
def _knows_claims(event: type[Event]) -> bool:
    return topic_of(event).name in UNDER_CLAIM
