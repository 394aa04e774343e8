"""A consumer in this process, on real Kafka: what it commits when partitions are taken away, and when it is full."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from clew.chassis import clock, consumer
from clew.chassis.blobs import S3BlobStore
from clew.chassis.consumer import KeyedConsumer
from clew.chassis.context import Context
from clew.chassis.dispatch import Dispatcher, Registration
from clew.chassis.lease import Lease
from clew.chassis.metrics import Metrics
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder
from clew.contracts.codec import encode
from clew.contracts.conversation import UserMessageReceived, text_of
from clew.contracts.envelope import Event, root_stamp
from clew.contracts.execution import RunStarted
from tests.support.log import PATIENCE, Log, message

# aiokafka is typed in part only, and what a consumer has paused is nobody else's business.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false
pytestmark = pytest.mark.stack
LONG_AGO = 1_000_000.0  # more seconds than any test takes


class Member:
    """A consumer of messages and task updates. A message that says `slow` is in hand until `gate` is open."""

    def __init__(self, log: Log, **settings: float) -> None:
        configured = log.settings.model_copy(update=settings)
        self.began: list[str] = []
        self.heard: list[RunStarted] = []
        self.gate = asyncio.Event()
        self.metrics = Metrics()
        self.namespace = log.settings.namespace
        blobs = S3BlobStore(log.settings)
        publisher = Publisher("planner", log.settings, blobs)
        dispatcher = Dispatcher("planner", log.settings.namespace, Decoder(blobs), publisher, self.metrics, clock.now)
        dispatcher.handlers = {
            UserMessageReceived: Registration(self._on_message),
            RunStarted: Registration(self._on_run_started),
        }
        topics, lease = ["user-messages", "task-updates"], Lease(log.settings.session_seconds)
        self.keyed = KeyedConsumer("planner", configured, topics, dispatcher, [], self.metrics, lease, lambda: True)

    @property
    def in_hand(self) -> float:
        """Records, as operators see it."""
        return self.metrics.registry.get_sample_value("clew_open_records") or 0

    @property
    def paused(self) -> frozenset[TopicPartition]:
        return frozenset(self._consumer.paused())

    def partitions_of(self, topic: str) -> frozenset[TopicPartition]:
        name = self.namespace + "." + topic
        return frozenset(tp for tp in self._consumer.assignment() if tp.topic == name)

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        return self.keyed._membership.consumer

    async def _on_message(self, message: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
        self.began.append(text_of(message.content))
        if self.began[-1].startswith("slow"):
            await self.gate.wait()
        return
        yield

    async def _on_run_started(self, started: RunStarted, context: Context) -> AsyncIterator[Event]:
        self.heard.append(started)
        return
        yield

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.keyed.run())
        try:
            await until(lambda: self.keyed.joined or task.done())
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self.gate.set()
            await self.keyed.stop()


def started() -> RunStarted:
    stamp = root_stamp(clock.new_id(), "local", clock.now())
    return RunStarted(**stamp, thread_id=clock.new_id(), run_id=clock.new_id(), seq=2, model="m", code_version="1")


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not met():
            await asyncio.sleep(0.02)


async def test_what_is_finished_when_partitions_are_taken_away_is_committed_before(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "COMMIT_INTERVAL", LONG_AGO)
    first, second = Member(log), Member(log)
    async with log.as_service("gateway") as gateway:
        slow = await gateway.publish_all([message(f"slow {n}") for n in range(24)])  # each member gets some
        quick = await gateway.publish_all([message(f"quick {n}") for n in range(24)])
    assert {place.partition for place in slow} & {place.partition for place in quick}, "some finish above a slow one"
    async with first.running():
        await until(lambda: len(first.began) == 48)
        assert await log.committed("planner", "user-messages") == 0
        async with second.running():
            await until(lambda: bool(second.began))
            await asyncio.sleep(1)  # what comes behind the first
    assert {word.split()[0] for word in second.began} == {"slow"}, "only what was not finished is begun again"


@pytest.mark.parametrize("limit", [{"records_in_hand": 20}, {"bytes_in_hand": 30_000}], ids=str)
async def test_a_process_that_is_full_takes_no_more_work_in_until_half_of_it_is_done_and_hears_control(
    log: Log, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int]
) -> None:
    monkeypatch.setattr(consumer, "FETCH", 10)
    member, one = (
        Member(log, handlers=4, **limit),
        len(encode(message("slow".ljust(1000)), source="gateway").value) + 36,
    )
    most = limit.get("records_in_hand", 30_000 // one + 1) + consumer.FETCH - 1
    async with log.as_service("gateway") as gateway:
        await gateway.publish_all([message(f"slow {n}".ljust(1000)) for n in range(80)])
    async with member.running(), log.as_service("executor") as executor:
        await until(lambda: member.paused == member.partitions_of("user-messages"))
        in_hand = member.in_hand
        assert most - consumer.FETCH < in_hand <= most
        await executor.publish(started())
        await until(lambda: len(member.heard) == 1)
        await asyncio.sleep(5 * consumer.POLL_MS / 1000)
        assert (member.in_hand, len(member.began)) == (in_hand, 4), "five polls later"
        assert member.paused == member.partitions_of("user-messages")
        member.gate.set()
        await until(lambda: len(member.began) == 80)
        await until(lambda: not member.paused)
    assert len(set(member.began)) == 80


async def test_a_free_place_goes_to_the_tenant_that_waits_and_not_to_the_one_that_came_first(log: Log) -> None:
    member = Member(log, handlers=2)
    async with member.running(), log.as_service("gateway") as gateway:
        await gateway.publish_all([message(f"slow {n}", tenant_id="many") for n in range(10)])
        await until(lambda: member.in_hand == 10)
        await gateway.publish(message("quick", tenant_id="few"))
        await until(lambda: member.in_hand == 11)
        member.gate.set()
        await until(lambda: len(member.began) == 11)
    assert member.began[2] == "quick"
