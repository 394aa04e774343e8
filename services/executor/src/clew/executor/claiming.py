"""One process's bid for one partition: when to claim it, and whether it has it. Pure: records in, decisions out.

The claim in force is what the log says (`clew.chassis.claims`); here is what one bidder makes of it. Nothing here
reads, sends or waits; `ownership` does what is decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from clew.chassis.claims import Claims

Headers: TypeAlias = Sequence[tuple[str, bytes]]


FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds; each pause is twice the one before
REMEMBERED = 60.0  # seconds for which the loss of a claim counts


@dataclass(slots=True)
class Pace:
    """How soon a partition may be claimed again that somebody else claimed: at once, but not time after time.

    Two processes that both take it for theirs would else outbid each other as fast as the log can take it.
    """

    lost_at: list[float] = field(default_factory=list[float])

    def pause(self, now: float) -> float:
        """A claim was lost at `now`, on a clock in seconds; how long to wait before asking the group for another."""
        self.lost_at = [*(at for at in self.lost_at if now - at < REMEMBERED), now][-20:]
        before = len(self.lost_at) - 1
        return min(FIRST_PAUSE * 2 ** (before - 1), LONGEST_PAUSE) if before else 0.0


class Next(Enum):
    """What the bidder is to do now."""

    READ = auto()  # read on: to the end of the log, or to the claim that is under way
    WAIT = auto()  # until the lease is fresh: nobody claims on a stale one
    CLAIM = auto()  # send a claim that supersedes the one in force
    ASK = auto()  # somebody else's claim took effect: ask the group whether the partition is still ours
    OWN = auto()  # the claim is in force


class Stage(Enum):
    """How far the bid is."""

    BEHIND = auto()  # there may be more in the log than was read
    READY = auto()  # all that was in the log was read, and it is somebody else's, or nobody's
    SENT = auto()  # a claim is under way
    OWNER = auto()  # the own claim was read and took effect, and none after it did
    OUTBID = auto()  # an own claim took no effect, or lost it


@dataclass(slots=True)
class Bid:
    """`claims` has taken in what was read of the partition; `mine` is the claim that was sent last."""

    claims: Claims
    mine: str | None = None
    stage: Stage = Stage.BEHIND

    def next(self, lease_fresh: bool) -> Next:
        match self.stage:
            case Stage.BEHIND | Stage.SENT:
                return Next.READ
            case Stage.READY:
                return Next.CLAIM if lease_fresh else Next.WAIT
            case Stage.OWNER:
                return Next.OWN
            case Stage.OUTBID:
                return Next.ASK

    def caught_up(self) -> None:
        """All was read that was in the log when its end was asked for, after the bid or the last `go_on` began."""
        if self.stage is Stage.BEHIND:
            self.stage = Stage.READY

    def send(self, claim: str) -> str | None:
        """A new claim is on its way; returns what it supersedes. RuntimeError when it is not time to claim."""
        if self.stage is not Stage.READY:
            raise RuntimeError(f"no claim is to be sent while the bid is {self.stage.name}")
        self.mine, self.stage = claim, Stage.SENT
        return self.claims.in_force

    def go_on(self) -> None:
        """The partition is still ours, says the group: bid again, after reading to the end."""
        if self.stage is Stage.OUTBID:
            self.mine, self.stage = None, Stage.BEHIND

    def take(self, headers: Headers) -> bool:
        """Takes in the next record. True when it counts."""
        counts = self.claims.counts(headers)
        if self.stage is Stage.OWNER:
            if self.claims.in_force != self.mine:
                self.stage = Stage.OUTBID
        elif self.stage is Stage.SENT:
            if self.claims.in_force == self.mine:
                self.stage = Stage.OWNER
            elif self.mine is not None and dict(headers).get("claim") == self.mine.encode():
                self.stage = Stage.OUTBID  # nothing else is written under a claim before it is in force
        return counts
