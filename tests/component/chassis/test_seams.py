"""The seams in FastStream's and aiokafka's insides that the chassis leans on: an upgrade that moves one fails here.

Each test names what is leaned on and where. The versions are pinned in `chassis/pyproject.toml`.
"""

import asyncio
import inspect
import tomllib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from faststream import BaseMiddleware
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import DefaultSubscriber, LogicSubscriber
from faststream.specification import AsyncAPI
from hypothesis import given
from hypothesis import strategies as st

from clew.chassis import publish
from clew.chassis.blobs import S3BlobStore
from clew.chassis.bookmarks import Bookmark, Offsets
from clew.chassis.clock import monotonic, new_id, now
from clew.chassis.context import Context, Depends
from clew.chassis.dispatch import Dispatcher, Registration
from clew.chassis.errors import RetryLater
from clew.chassis.hosting import Raw
from clew.chassis.lease import Lease
from clew.chassis.membership import Membership, Rebalances
from clew.chassis.metrics import Metrics
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder, Record
from clew.contracts.codec import encode
from clew.contracts.conversation import ThreadCreated, UserMessageReceived
from clew.contracts.envelope import Event
from tests.support.log import Log, message, settings_from

# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false
LOCAL = settings_from({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})


def test_the_versions_whose_insides_these_are_are_pinned() -> None:
    dependencies = tomllib.loads(Path("chassis/pyproject.toml").read_text())["project"]["dependencies"]
    assert {"aiokafka>=0.14,<0.15", "faststream[kafka]>=0.7.8,<0.8"} <= set(dependencies)


# -- FastStream: `hosting`


def raw(event: Event) -> Raw:
    wire = encode(event, source="gateway")
    return ConsumerRecord(
        topic="user-messages",
        partition=0,
        offset=7,
        timestamp=0,
        timestamp_type=0,
        key=wire.key,
        value=wire.value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(wire.headers),
    )


def hosted(*handlers: tuple[type[Event], Any]) -> tuple[Dispatcher, KafkaBroker]:
    """A dispatcher whose handlers live in a broker that is never started."""
    blobs = S3BlobStore(LOCAL)
    metrics = Metrics()
    dispatcher = Dispatcher("planner", "", Decoder(blobs), Publisher("planner", LOCAL, blobs), metrics, now)
    dispatcher.handlers = {event_type: Registration(handler) for event_type, handler in handlers}
    membership = Membership("planner", LOCAL, ["user-messages"], "planner", None, dispatcher.decode)
    dispatcher.host(membership.subscriber)
    membership.broker.config.logger._setup(membership.broker.config.context)  # pyright: ignore[reportPrivateUsage]  # what its start does
    membership.subscriber._build_fastdepends_model()  # pyright: ignore[reportPrivateUsage]
    return dispatcher, membership.broker


async def test_a_handler_is_given_its_event_its_context_and_what_it_depends_on() -> None:
    given: list[Any] = []

    async def connection() -> AsyncIterator[str]:
        yield "connected"

    async def on_message(
        event: UserMessageReceived, context: Context, db: Annotated[str, Depends(connection)]
    ) -> AsyncIterator[Event]:
        given.append((event, context.position.offset, context.backlog, db))
        return
        yield

    async def on_thread(event: ThreadCreated, context: Context) -> AsyncIterator[Event]:
        raise AssertionError("this is for other events")
        yield

    dispatcher, _ = hosted((ThreadCreated, on_thread), (UserMessageReceived, on_message))
    asked = message("hello")
    await dispatcher.handle(raw(asked), True)
    assert given == [(asked, 7, True, "connected")]


async def test_records_pass_through_the_middleware_of_the_broker() -> None:
    seen: list[Any] = []

    class Middleware(BaseMiddleware[Any, Any]):
        async def consume_scope(self, call_next: Any, msg: Any) -> Any:
            seen.append((msg.headers["ce_type"], msg.raw_message.topic, await msg.decode()))
            return await call_next(msg)

    async def on_message(event: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
        seen.append("handled")
        return
        yield

    dispatcher, broker = hosted((UserMessageReceived, on_message))
    broker.add_middleware(Middleware)
    asked = message("hello")
    await dispatcher.handle(raw(asked), False)
    assert seen == [("clew.user-message-received.v1", "user-messages", asked), "handled"]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), asyncio.CancelledError()])
async def test_what_a_handler_raises_comes_out(error: BaseException) -> None:
    async def on_message(event: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
        raise error
        yield

    dispatcher, _ = hosted((UserMessageReceived, on_message))
    with pytest.raises(type(error)):
        await dispatcher.handle(raw(message("hello")), False)


async def test_async_api_tells_of_the_handlers() -> None:
    async def on_message(event: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
        """Plans it."""
        return
        yield

    _, broker = hosted((UserMessageReceived, on_message))
    told = AsyncAPI(broker).to_specification().to_json()
    assert "user-messages" in told
    assert "UserMessageReceived" in told


def test_faststream_runs_its_loop_where_the_host_puts_none_and_swallows_errors_only_in_consume() -> None:
    start = inspect.getsource(LogicSubscriber.start)
    assert "self.add_task(self._run_consume_loop" in start
    assert "self.parser._setup(consumer)" in start
    assert "self.parser.parse_message" in inspect.getsource(DefaultSubscriber.__init__)
    assert "except Exception" not in inspect.getsource(DefaultSubscriber.process_message).split("parsing_error = e")[1]


# -- aiokafka: `membership`


@pytest_asyncio.fixture
async def member(log: Log) -> AsyncGenerator[tuple[Membership, Lease, list[str]]]:
    lease, calls = Lease(log.settings.session_seconds), list[str]()

    async def revoked() -> None:
        membership.renew(lease)
        calls.append(f"revoked in {membership.generation}")

    def assigned(tps: frozenset[TopicPartition]) -> None:
        calls.append(f"{len(tps)} assigned in {membership.generation}, joined: {membership.joined_at <= monotonic()}")

    membership = Membership("planner", log.settings, ["plans"], "planner", Rebalances(revoked, assigned))
    await membership.join()
    async with asyncio.timeout(20):
        while len(calls) < 2 or not lease.fresh:
            await asyncio.sleep(0.05)
    yield membership, lease, calls
    await membership.leave()


@pytest.mark.stack
async def test_the_callback_of_loss_comes_before_the_first_join_and_heartbeats_renew_the_lease(
    member: tuple[Membership, Lease, list[str]],
) -> None:
    membership, _, calls = member
    assert calls == ["revoked in -1", "4 assigned in 1, joined: True"]
    assert monotonic() - membership.joined_at < 20


@pytest.mark.stack
async def test_metadata_of_a_commit_comes_back_and_a_member_is_told_from_a_stranger(
    member: tuple[Membership, Lease, list[str]], log: Log
) -> None:
    membership, _, _ = member
    tp = TopicPartition(log.settings.in_namespace("plans"), 0)
    mark = Bookmark(0, Offsets(((3, 9),)), "claim")
    assert await membership.confirm({tp: mark})
    assert await membership.bookmarks([tp]) == {tp: mark}
    coordinator: Any = membership.consumer._coordinator  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    present, coordinator.generation = coordinator.generation, 99
    with pytest.raises(CommitFailedError):
        await membership.commit({tp: mark})
    assert coordinator.generation == -1
    assert not await membership.confirm({tp: mark})
    assert present == 1


@pytest.mark.stack
async def test_seek_pause_and_positions_are_those_of_the_assignment(
    member: tuple[Membership, Lease, list[str]], log: Log
) -> None:
    consumer: AIOKafkaConsumer = member[0].consumer
    tp = TopicPartition(log.settings.in_namespace("plans"), 0)
    consumer.pause(tp)
    assert consumer.paused() == {tp}
    consumer.resume(tp)
    consumer.seek(tp, 0)
    assert await consumer.position(tp) == 0


def test_heartbeats_and_joins_go_through_the_one_method_that_is_timed() -> None:
    assert "await self._send_req(request)" in inspect.getsource(GroupCoordinator._do_heartbeat)
    assert "HeartbeatRequest(" in inspect.getsource(GroupCoordinator._do_heartbeat)
    module = inspect.getsource(inspect.getmodule(GroupCoordinator) or GroupCoordinator)
    assert "await self._coordinator._send_req(request)" in module
    assert HeartbeatRequest.API_KEY == 12
    assert SyncGroupRequest.API_KEY == 14


async def test_a_handler_may_put_its_record_off_through_the_host() -> None:
    async def on_message(event: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
        raise RetryLater(context.now() - event.occurred_at)
        yield

    dispatcher, _ = hosted((UserMessageReceived, on_message))
    fresh = raw(message("hello"))
    fresh.timestamp = int(now().timestamp() * 1000)
    with pytest.raises(RetryLater):
        await dispatcher.handle(fresh, False)


async def test_a_record_that_is_put_off_is_as_old_as_its_own_timestamp_says() -> None:
    class PutAway(Exception):
        """Instead of the dead letter, which nobody could send here."""

    async def on_message(event: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
        raise RetryLater(timedelta(seconds=1))
        yield

    async def put_away(record: Record, detail: str) -> None:
        raise PutAway(detail)

    dispatcher, _ = hosted((UserMessageReceived, on_message))
    dispatcher.before_letter["user-messages"] = put_away
    young, old = raw(message("hello")), raw(message("hello"))
    young.timestamp = int(now().timestamp() * 1000) - 3_500_000
    with pytest.raises(RetryLater):
        await dispatcher.handle(young, False)
    old.timestamp = young.timestamp - 200_000
    with pytest.raises(PutAway, match="still not done 1:00:00 after it was written"):
        await dispatcher.handle(old, False)


# -- aiokafka: `publish`


@pytest.mark.stack
async def test_a_send_that_would_wait_for_room_or_metadata_has_taken_nothing(log: Log) -> None:
    """`Publisher.send_now` takes one step of the producer's coroutine, and drops it where that was not all."""
    thread = new_id()
    first, second, third = (message("x" * 150_000, thread) for _ in range(3))  # a batch has room for one of them
    async with log.as_service("gateway") as gateway:
        ack = gateway.send_now(first)
        assert ack is not None
        assert gateway.send_now(second) is None
        assert gateway.send_now(third) is None
        told = asyncio.Event()
        ack.add_done_callback(lambda _: told.set())
        await asyncio.wait_for(told.wait(), 10)
        position = ack.result()
        cluster: Any = gateway._producer.client.cluster  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        del cluster._partitions[log.settings.in_namespace("user-messages")]
        assert gateway.send_now(third) is None
        assert await gateway.publish(second) == position.model_copy(update={"offset": position.offset + 1})
    assert [event.event_id for event in await log.events("user-messages")] == [first.event_id, second.event_id]


@given(key=st.none() | st.binary(max_size=40), count=st.integers(1, 60))
def test_a_key_is_in_the_partition_where_every_client_of_kafka_looks_for_it(key: bytes | None, count: int) -> None:
    partitions = list(range(count))
    chosen = publish._partition(key, partitions, partitions[-1:])
    assert chosen == (DefaultPartitioner()(key, partitions, partitions) if key is not None else count - 1)
