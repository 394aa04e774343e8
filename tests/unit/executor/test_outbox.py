"""The outbox of a run over a partition that takes events at once, except when it has to wait."""

import asyncio
from collections.abc import Awaitable

import pytest

from clew.chassis.errors import Fenced
from clew.contracts.envelope import Event, Position
from clew.executor.outbox import LINGER, Outbox
from tests.support.owners import RunStory


class Partition:
    """Takes events at once unless it is `busy`; acknowledges when told to. `taken` is the log."""

    def __init__(self) -> None:
        self.partition = 0
        self.lost = False
        self.taken: list[Event] = []
        self.acks: list[asyncio.Future[Position]] = []
        self.busy = False
        self.free = asyncio.Event()

    def send_now(self, event: Event) -> asyncio.Future[Position] | None:
        if self.lost:
            raise Fenced("lost")
        return None if self.busy else self._take(event)

    async def send(self, event: Event) -> Awaitable[Position]:
        if self.lost:
            raise Fenced("lost")
        await self.free.wait()
        return self._take(event)

    async def valid(self, position: Position) -> None:
        return None

    async def may_begin(self) -> None:
        return None

    def _take(self, event: Event) -> asyncio.Future[Position]:
        self.taken.append(event)
        self.acks.append(asyncio.get_running_loop().create_future())
        return self.acks[-1]

    def acknowledge(self, index: int) -> None:
        self.acks[index].set_result(Position(topic="task-updates", partition=0, offset=index))


def events(count: int) -> list[Event]:
    story = RunStory()
    return [story.stepped() for _ in range(count)]


async def test_an_event_that_need_not_wait_is_in_the_log_before_put_returns() -> None:
    partition = Partition()
    one = events(1)[0]
    Outbox(partition, lambda: None).put(one)
    assert partition.taken == [one]


async def test_an_event_that_lingers_goes_before_the_next_that_does_not() -> None:
    partition = Partition()
    outbox = Outbox(partition, lambda: None)
    first, second, third = events(3)
    outbox.put(first, lingers=True)
    outbox.put(second, lingers=True)
    assert partition.taken == []
    outbox.put(third)
    assert partition.taken == [first, second, third]


@pytest.mark.parametrize("drained", [True, False])
async def test_an_event_that_lingers_goes_soon_by_itself_and_at_once_when_all_is_to_be_in_the_log(
    drained: bool,
) -> None:
    partition = Partition()
    outbox = Outbox(partition, lambda: None)
    [one] = events(1)
    outbox.put(one, lingers=True)
    if drained:
        draining = asyncio.create_task(outbox.drained())
        await asyncio.sleep(0)
    else:
        draining = asyncio.create_task(asyncio.sleep(LINGER * 4))
        await draining
    assert partition.taken == [one]
    partition.acknowledge(0)
    await draining


async def test_events_that_linger_while_the_partition_is_lost_are_never_handed_over() -> None:
    partition, broken = Partition(), list[bool]()
    outbox = Outbox(partition, lambda: broken.append(True))
    for one in events(2):
        outbox.put(one, lingers=True)
    partition.lost = True
    await asyncio.sleep(LINGER * 4)
    assert (partition.taken, broken) == ([], [True])
    with pytest.raises(Fenced):
        outbox.check()


async def test_an_event_behind_one_that_waits_does_not_overtake_it() -> None:
    partition = Partition()
    outbox = Outbox(partition, lambda: None)
    first, second, third = events(3)
    outbox.put(first)
    partition.busy = True
    outbox.put(second)
    await asyncio.sleep(0)
    partition.busy = False
    outbox.put(third)
    assert partition.taken == [first]
    partition.free.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert partition.taken == [first, second, third]


async def test_an_ack_that_comes_early_is_told_after_those_before_it() -> None:
    partition = Partition()
    outbox = Outbox(partition, lambda: None)
    deliveries = [asyncio.create_task(outbox.deliver(event)) for event in events(2)]
    await asyncio.sleep(0)
    partition.acknowledge(1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not deliveries[1].done()
    partition.acknowledge(0)
    assert [position.offset for position in await asyncio.gather(*deliveries)] == [0, 1]
    await outbox.drained()


async def test_a_partition_that_is_lost_breaks_the_outbox_and_tells_whoever_waits() -> None:
    partition = Partition()
    broken: list[bool] = []
    outbox = Outbox(partition, lambda: broken.append(True))
    first, second, third = events(3)
    waiting = asyncio.create_task(outbox.deliver(first))
    await asyncio.sleep(0)
    partition.lost = True
    with pytest.raises(Fenced):
        await outbox.deliver(second)
    with pytest.raises(Fenced):
        await waiting
    with pytest.raises(Fenced):
        outbox.put(third)
    assert broken == [True]


async def test_a_send_that_the_log_refuses_ends_all_behind_it() -> None:
    partition = Partition()
    outbox = Outbox(partition, lambda: None)
    deliveries = [asyncio.create_task(outbox.deliver(event)) for event in events(2)]
    await asyncio.sleep(0)
    partition.acks[0].set_exception(ConnectionError("gone"))
    for delivery in deliveries:
        with pytest.raises(ConnectionError, match="gone"):
            await delivery
    with pytest.raises(ConnectionError):
        await outbox.drained()
