"""Reading on, without a consumer group, those partitions of one topic that somebody here cares about just now.

All partitions are assigned once and paused; to follow one is to seek and resume it, so that nothing that the others
have in hand is thrown away. Records are handed over as offset and headers: no body is decoded here, and what somebody
knows already is not even looked at.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition

from clew.chassis.clock import monotonic
from clew.chassis.lenient import forgive_header_names
from clew.chassis.settings import ServiceSettings

FETCH = 1000  # records per poll: what is done between two turns of the event loop
PAUSE = 0.02  # seconds between two looks, in which most of what comes becomes known without being read
FETCH_WAIT_MS = 100  # a partition that is resumed waits for the fetch under way, which the broker holds this long
FETCH_BYTES = 4 * 1024 * 1024
Headers: TypeAlias = Sequence[tuple[str, bytes]]
Take: TypeAlias = Callable[[int, Headers], None]
Known: TypeAlias = Callable[[], int]


@dataclass(slots=True, eq=False)
class _Followed:
    """A partition that is followed: the next offset, who takes its records, and before where none need be taken."""

    next: int
    take: Take
    known: Known


class Follower:
    """One connection for all partitions of `topic`. An async context manager; `run` reads until it is cancelled.

    `polled_at` is when it last came round, on the monotonic clock.
    """

    def __init__(self, settings: ServiceSettings, topic: str) -> None:
        forgive_header_names()
        self._topic = settings.in_namespace(topic)
        self._access = settings.client()
        self._followed: dict[TopicPartition, _Followed] = {}
        self.polled_at: float | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            self._topic,
            **self._access,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        try:
            await self._consumer.start()
            self._assign_paused()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    def _assign_paused(self) -> None:
        """From a subscription to a fixed assignment: a broker that starts up may name too few partitions, and a
        subscription would then forget the positions of all."""
        partitions = self._consumer.assignment()
        self._consumer.unsubscribe()
        self._consumer.assign(list(partitions))
        for tp in partitions:
            self._consumer.seek(tp, 0)
        self._consumer.pause(*partitions)

    def follow(self, partition: int, take: Take, known: Known) -> None:
        """From now on `take` gets the records of a partition, once and in order, from the offset `known()` on.

        What comes to lie before it later, and was not handed over by then, may be left out.
        """
        tp = TopicPartition(self._topic, partition)
        self._followed[tp] = _Followed(start := known(), take, known)
        self._consumer.seek(tp, start)
        self._consumer.resume(tp)

    def leave(self, partition: int) -> None:
        """Nothing of this partition is handed over any more."""
        tp = TopicPartition(self._topic, partition)
        if self._followed.pop(tp, None) is not None:
            self._consumer.pause(tp)

    async def run(self) -> None:
        """Reads on for ever. A broker that is away is waited for; what `take` raises ends it."""
        while True:
            self._leave_out_known()
            batches = await self._consumer.getmany(max_records=FETCH)
            self.polled_at = monotonic()
            for tp, raws in batches.items():
                for raw in raws:
                    self._hand_over(tp, raw.offset, raw.headers)
            await asyncio.sleep(0 if batches else PAUSE)

    def _leave_out_known(self) -> None:
        """What was fetched and not looked at yet is thrown away unread where all of it is known meanwhile."""
        for tp, followed in self._followed.items():
            if (known := followed.known()) > followed.next:
                followed.next = known
                self._consumer.seek(tp, known)

    def _hand_over(self, tp: TopicPartition, offset: int, headers: Headers) -> None:
        """Leaves out what was polled for an earlier follower of the partition, who may just have been replaced."""
        followed = self._followed.get(tp)
        if followed is not None and offset == followed.next:
            followed.next = offset + 1
            followed.take(offset, headers)
