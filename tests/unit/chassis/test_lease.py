"""The lease: fresh for a part of the session after the last heartbeat was sent, and never for longer."""

import asyncio

from clew.chassis.lease import Lease


class Time:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_fresh_before_the_first_membership() -> None:
    assert not Lease(10, Time()).fresh


def test_a_lease_runs_out_at_eight_tenths_of_the_session() -> None:
    time = Time()
    lease = Lease(10, time)
    lease.renew(time.now)
    time.now += 7.9
    assert lease.fresh
    time.now += 0.1
    assert not lease.fresh


def test_what_counts_is_when_the_heartbeat_was_sent_not_when_it_was_answered() -> None:
    time = Time()
    lease = Lease(10, time)
    sent_at = time.now
    time.now += 60  # frozen between sending and the answer
    lease.renew(sent_at)
    assert not lease.fresh


def test_an_older_answer_takes_nothing_back() -> None:
    time = Time()
    lease = Lease(10, time)
    lease.renew(time.now)
    lease.renew(time.now - 9)
    assert lease.fresh


async def test_who_waits_goes_on_when_it_is_renewed_and_not_by_a_renewal_that_is_too_old() -> None:
    time = Time()
    lease = Lease(10, time)
    waiting = asyncio.create_task(lease.wait())
    await asyncio.sleep(0)
    lease.renew(time.now - 9)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    lease.renew(time.now)
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(lease.wait(), 1)
