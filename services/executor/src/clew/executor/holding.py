"""One partition that is owned: writing under its claim, and knowing that what was written counts. It claims nothing.

A record counts when the claim was in force at its place, and only somebody else's claim ends that. So the place of
every record is accounted for, one after the other: either it was read, or the log said that it is one of our own.
"""

import asyncio
from collections import deque
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
        self._first = position
        self._next = position  # all before it is accounted for, and the claim was in force there
        self._unsettled: deque[Receipt] = deque()  # of what was sent under the claim, in the order of the log
        self._sender = sender
        self._prompt = sender if isinstance(sender, AtOnce) else None
        self._lease = lease
        self._ended = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._moved = 0.0  # when it last became known of a record that somebody waited for

    @property
    def lost(self) -> bool:
        return self._ended.is_set()

    async def send(self, event: Event) -> Awaitable[Position]:
        """Hands an event to the log, under this claim where its topic knows claims. Await the result for the ack,
        which says where the record is and not that it counts: that is for `valid`."""
        self._raise_if_lost()
        ack = await self._sender.send(event, claim=self._claim_for(event))
        if isinstance(ack, Receipt):
            self._expect(event, ack)
        return ack

    def send_now(self, event: Event) -> Receipt | None:
        """As `send`, where nothing has to be waited for; else None, and nothing was sent."""
        self._raise_if_lost()
        if self._prompt is None:
            return None
        receipt = self._prompt.send_now(event, claim=self._claim_for(event))
        if receipt is not None:
            self._expect(event, receipt)
        return receipt

    def _claim_for(self, event: Event) -> str | None:
        return self.claim if _knows_claims(type(event)) else None

    async def valid(self, position: Position) -> None:
        """Returns once it is known that the record that was sent to `position` under this claim counts: all places up
        to it are accounted for. Where another's record lies between, that takes until it was read.

        RuntimeError where nothing of ours can be: in another partition, as when somebody gave the topic more of them,
        or before our claim, as when a broker says that it has a record and no longer knows where (offset -1).
        """
        self._raise_if_lost()
        if position.partition != self.partition or position.offset < self._first:
            raise RuntimeError(f"nothing that was written under claim {self.claim} is at {position}")
        if position.offset < self.known():
            return
        if not self._waiting:
            self._moved = monotonic()
        counts = self._waiting.get(position.offset)
        if counts is None:
            counts = self._waiting[position.offset] = asyncio.get_running_loop().create_future()
        if not await asyncio.shield(counts):
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
        """Takes in a record of the partition. False when with it somebody else's claim took effect."""
        if offset < self._next:
            return True
        self._bid.take(headers)
        if self._bid.stage is not Stage.OWNER:
            return False
        self._passed(offset)
        self._settle()
        return True

    def known(self) -> int:
        """The first place of the partition that is not accounted for."""
        self._settle()
        return self._next

    def _settle(self) -> None:
        """Goes on over what the log says is our own; a place of which it says nothing has to be read first."""
        while self._unsettled and self._unsettled[0].done():
            place = self._place(self._unsettled[0])
            if place > self._next:
                return
            self._unsettled.popleft()
            if place == self._next:
                self._passed(place)

    def _place(self, receipt: Receipt) -> int:
        """-1 when the log did not say that it took the record here: it may be anywhere, or nowhere."""
        try:
            position = receipt.result()
        except (Exception, asyncio.CancelledError):  # whatever it was, it tells nothing of the place
            return -1
        return position.offset if position.partition == self.partition else -1

    def _passed(self, offset: int) -> None:
        self._next = offset + 1
        if self._waiting and (counts := self._waiting.pop(offset, None)) is not None:
            counts.set_result(True)
            self._moved = monotonic()

    def _expect(self, event: Event, receipt: Receipt) -> None:
        if _is_claimed(type(event)):
            self._unsettled.append(receipt)

    @property
    def silent_for(self) -> float:
        """Seconds since something became known of a record that is waited for; 0 when none is."""
        return monotonic() - self._moved if self._waiting else 0.0

    def end(self) -> None:
        """The partition is lost. Whoever waits to know of a record is told."""
        self._ended.set()
        for counts in self._waiting.values():
            counts.set_result(False)
        self._waiting.clear()

    def _raise_if_lost(self) -> None:
        if self.lost:
            raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(f"claim {self.claim} on partition {self.partition} is lost")


@cache
def _knows_claims(event: type[Event]) -> bool:
    return topic_of(event).name in UNDER_CLAIM


@cache
def _is_claimed(event: type[Event]) -> bool:
    return topic_of(event).name == CLAIMED_TOPIC
