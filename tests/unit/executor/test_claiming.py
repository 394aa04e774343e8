"""Bids for a partition, whatever the interleaving of reads, writes and claims that come late."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.chassis.claims import Claims
from clew.contracts.execution import PartitionClaimed, RunStarted
from clew.executor.claiming import Bid, Next, Stage

OWNERS = 3
Record: TypeAlias = tuple[Literal["claim", "write"], str | None, str | None]  # what, claim, supersedes
Headers: TypeAlias = list[tuple[str, bytes]]


def headers(record: Record) -> Headers:
    kind, claim, supersedes = record
    named = {
        "ce_type": (PartitionClaimed if kind == "claim" else RunStarted).ce_type(),
        "claim": claim,
        "supersedes": supersedes,
    }
    return [(name, text.encode()) for name, text in named.items() if text is not None]


def in_force_after(log: list[Record]) -> list[str | None]:
    """The oracle: the claim in force after each record, said by a chain of claims that each name the one before."""
    now: str | None = None
    history: list[str | None] = []
    for kind, claim, supersedes in log:
        if kind == "claim" and supersedes == now:
            now = claim
        history.append(now)
    return history


@dataclass
class Owner:
    """A process that bids. What it sends lands in the log when `land` says so, which may be much later."""

    number: int
    bid: Bid = field(default_factory=lambda: Bid(Claims()))
    position: int = 0
    end: int = 0  # of the log, as it was asked for
    claims: int = 0
    under_way: list[Record] = field(default_factory=list[Record])

    def step(self, log: list[Record], lease_fresh: bool) -> None:
        """Does what its bid decides; a read takes one record."""
        match self.bid.next(lease_fresh):
            case Next.READ if self.position < len(log):
                self.read(log)
            case Next.READ if self.bid.stage is Stage.BEHIND and self.position >= self.end:
                self.bid.caught_up()
            case Next.CLAIM:
                self.claims += 1
                claim = f"owner-{self.number}-{self.claims}"
                self.under_way.append(("claim", claim, self.bid.send(claim)))
            case Next.ASK:
                self.bid.go_on()
                self.end = len(log)
            case Next.OWN if self.position < len(log):
                self.read(log)
            case _:
                pass

    def restart(self, log: list[Record]) -> None:
        """The process died, or gave up on a claim of which nobody knows whether it will land: it bids anew."""
        self.bid, self.position, self.end = Bid(Claims()), 0, len(log)

    def read(self, log: list[Record]) -> None:
        history = in_force_after(log)
        counts = self.bid.take(headers(log[self.position]))
        kind, claim, _ = log[self.position]
        before = history[self.position - 1] if self.position else None
        assert counts == (history[self.position] == claim != before if kind == "claim" else claim == before)
        self.position += 1
        owns = self.bid.stage is Stage.OWNER
        assert owns == (self.bid.mine is not None and history[self.position - 1] == self.bid.mine)

    def write(self) -> None:
        if self.bid.stage is Stage.OWNER:
            self.under_way.append(("write", self.bid.mine, None))

    def land(self, log: list[Record]) -> None:
        if self.under_way:
            log.append(self.under_way.pop(0))


Action: TypeAlias = tuple[int, Literal["step", "stale", "write", "land", "restart"]]
ACTIONS = st.lists(
    st.tuples(
        st.integers(0, OWNERS - 1),
        st.sampled_from(["step", "step", "step", "step", "stale", "write", "land", "land", "restart"]),
    ),
    max_size=120,
)


def play(actions: list[Action]) -> tuple[list[Owner], list[Record]]:
    owners, log = [Owner(n) for n in range(OWNERS)], list[Record]()
    for number, what in actions:
        owner = owners[number]
        match what:
            case "step":
                owner.step(log, lease_fresh=True)
            case "stale":
                claims = owner.claims
                owner.step(log, lease_fresh=False)
                assert owner.claims == claims, "somebody claimed on a stale lease"
            case "write":
                owner.write()
            case "land":
                owner.land(log)
            case "restart":
                owner.restart(log)
    return owners, log


@given(ACTIONS)
@settings(max_examples=400, deadline=None)
def test_who_believes_to_own_a_partition_is_right_at_the_place_it_has_read_to(actions: list[Action]) -> None:
    owners, log = play(actions)
    history = [None, *in_force_after(log)]
    for owner in owners:
        if owner.bid.stage is Stage.OWNER:
            assert history[owner.position] == owner.bid.mine


@given(ACTIONS)
@settings(max_examples=400, deadline=None)
def test_every_reader_counts_the_same_records_and_of_two_owners_never_both(actions: list[Action]) -> None:
    _, log = play(actions)
    readers = [Claims(), Claims()]
    for before, record in zip([None, *in_force_after(log)], log, strict=False):
        said = [reader.counts(headers(record)) for reader in readers]
        kind, claim, supersedes = record
        assert said == [claim == before if kind == "write" else supersedes == before] * 2


@given(ACTIONS, st.integers(0, OWNERS - 1))
@settings(max_examples=200, deadline=None)
def test_the_one_who_is_left_gets_the_partition_whatever_came_before(actions: list[Action], left: int) -> None:
    owners, log = play(actions)
    for owner in owners:
        while owner.under_way:
            owner.land(log)
    survivor = owners[left]
    for _ in range(6 * len(log) + 20):
        survivor.step(log, lease_fresh=True)
        survivor.land(log)
    assert survivor.bid.next(True) is Next.OWN
    assert in_force_after(log)[-1] == survivor.bid.mine


def test_a_claim_that_comes_late_leaves_the_owner_in_place() -> None:
    owner, late = Bid(Claims()), Bid(Claims())
    for bid in (owner, late):
        bid.caught_up()
    log: list[Record] = [("claim", "owner", owner.send("owner")), ("claim", "late", late.send("late"))]
    for record in log:
        owner.take(headers(record))
        late.take(headers(record))
    assert owner.next(True) is Next.OWN
    assert late.next(True) is Next.ASK
    late.go_on()
    late.caught_up()
    assert late.send("again") == "owner"


def test_nobody_can_claim_before_reading_to_the_end() -> None:
    with pytest.raises(RuntimeError, match="BEHIND"):
        Bid(Claims()).send("early")
