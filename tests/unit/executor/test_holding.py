"""What an owner takes for valid, for any order in which acknowledgements and records reach it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.errors import AckTimeout, Fenced
from clew.contracts import codec
from clew.contracts.envelope import Event, Position
from clew.contracts.execution import PartitionClaimed
from clew.executor.claiming import Bid, Headers
from clew.executor.holding import Ownership
from tests.support.owners import RunStory, ScriptedGroup, claimed

MINE = "mine"


class Log:
    """One partition: what we send is appended at once and acknowledged when told to; others write into it, too."""

    def __init__(self) -> None:
        self.records: list[Headers] = []
        self.acks: list[tuple[int, asyncio.Future[Position]]] = []
        claim = claimed(MINE, None)
        self.append(claim, None)
        bid = Bid(Claims())
        bid.caught_up()
        bid.send(MINE)
        bid.take(self.records[0])
        self.owned = Ownership(0, bid, 1, self, ScriptedGroup())
        self.read = 1

    def append(self, event: Event, claim: str | None) -> int:
        self.records.append(codec.encode(event, source="executor", claim=claim).headers)
        return len(self.records) - 1

    async def send(self, event: Event, *, claim: str | None = None) -> Awaitable[Position]:
        return self.send_now(event, claim=claim)

    def send_now(self, event: Event, *, claim: str | None = None) -> asyncio.Future[Position]:
        ack: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self.acks.append((self.append(event, claim), ack))
        return ack

    def acknowledge(self) -> None:
        offset, ack = self.acks.pop(0)
        ack.set_result(Position(topic=CLAIMED_TOPIC, partition=0, offset=offset))

    def lose_an_ack(self) -> None:
        _, ack = self.acks.pop(0)
        ack.set_exception(AckTimeout("the broker was restarted"))

    def read_on(self) -> None:
        """Hands the next record over that is not known; what somebody else claimed ends the ownership."""
        self.read = max(self.read, self.owned.known())
        if self.read < len(self.records):
            offset, self.read = self.read, self.read + 1
            if not self.owned.take(offset, self.records[offset]):
                self.owned.end()

    def counts(self, offset: int) -> bool:
        claims = Claims()
        return [claims.counts(headers) for headers in self.records][offset]


def stray(supersedes: str | None) -> PartitionClaimed:
    return claimed("stray", supersedes).model_copy(update={"occurred_at": datetime(2026, 1, 1, tzinfo=UTC)})


def at(offset: int) -> Position:
    return Position(topic=CLAIMED_TOPIC, partition=0, offset=offset)


async def test_what_is_acknowledged_behind_nothing_but_our_own_counts_without_being_read() -> None:
    log, story = Log(), RunStory()
    for _ in range(3):
        log.owned.send_now(story.stepped())
    for _ in range(3):
        log.acknowledge()
    async with asyncio.timeout(1):
        await log.owned.valid(at(3))
    assert log.owned.known() == 4


async def test_behind_a_record_of_somebody_else_it_counts_once_that_was_read() -> None:
    log, story = Log(), RunStory()
    log.append(story.stepped(), "an earlier claim")
    log.owned.send_now(story.stepped())
    log.acknowledge()
    waiting = asyncio.ensure_future(log.owned.valid(at(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    log.read_on()
    await asyncio.wait_for(waiting, 1)


async def test_behind_a_claim_that_took_effect_it_does_not_count() -> None:
    log, story = Log(), RunStory()
    log.append(stray(MINE), None)
    log.owned.send_now(story.stepped())
    log.acknowledge()
    waiting = asyncio.ensure_future(log.owned.valid(at(2)))
    await asyncio.sleep(0)
    log.read_on()
    with pytest.raises(Fenced):
        await waiting


async def test_a_record_without_an_acknowledgement_is_read() -> None:
    log, story = Log(), RunStory()
    for _ in range(2):
        log.owned.send_now(story.stepped())
    log.lose_an_ack()
    log.acknowledge()
    assert log.owned.known() == 1
    log.read_on()
    async with asyncio.timeout(1):
        await log.owned.valid(at(2))


async def test_what_goes_to_another_topic_has_no_place_in_the_partition() -> None:
    log, story = Log(), RunStory()
    log.owned.send_now(story.planned())
    log.owned.send_now(story.stepped())
    log.records.pop(1)  # it is in another log
    log.acks = [(7, log.acks[0][1]), (1, log.acks[1][1])]
    log.acknowledge()
    assert log.owned.known() == 1
    log.acknowledge()
    assert log.owned.known() == 2


@pytest.mark.parametrize(("partition", "offset"), [(1, 1), (0, 0), (0, -1)])
async def test_a_place_where_nothing_of_ours_can_be_is_never_taken_for_valid(partition: int, offset: int) -> None:
    log = Log()
    log.owned.send_now(RunStory().stepped())
    log.acknowledge()
    place = Position.model_construct(topic=CLAIMED_TOPIC, partition=partition, offset=offset)  # as an ack is made
    with pytest.raises(RuntimeError, match="nothing that was written"):
        await log.owned.valid(place)


DOINGS = ("send", "acknowledge", "lose an ack", "read", "late claim", "claim", "void record")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(DOINGS), max_size=30))
def test_what_is_taken_for_valid_counts_for_every_reader(script: list[str]) -> None:
    asyncio.run(_carry_out(script))


async def _carry_out(script: list[str]) -> None:
    log, story = Log(), RunStory()
    doings: dict[str, Callable[[], object]] = {
        "send": lambda: log.owned.send_now(story.stepped()),
        "acknowledge": lambda: log.acks and log.acknowledge(),
        "lose an ack": lambda: log.acks and log.lose_an_ack(),
        "read": log.read_on,
        "late claim": lambda: log.append(stray("long ago"), None),
        "claim": lambda: log.append(stray(MINE), None),
        "void record": lambda: log.append(story.stepped(), "an earlier claim"),
    }
    for doing in script:
        if log.owned.lost:
            break
        doings[doing]()
        for offset in range(1, log.owned.known()):
            mine = ("claim", MINE.encode()) in log.records[offset]
            assert log.counts(offset) is mine, "a place was passed at which another claim was in force"
