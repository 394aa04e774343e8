"""Owners that are killed or frozen in the middle of writing: nothing that they saw count is lost, nothing that they
write late counts."""

import signal
from os import urandom
from pathlib import Path
from uuid import UUID

import pytest

from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.views.door import Views
from tests.support.log import Log, make_topics, settings_from
from tests.support.owners import RunStory, an_owner, until
from tests.support.toy_owner import RUNS, toy_owner

pytestmark = pytest.mark.stack


@pytest.fixture
def env(stack_env: dict[str, str], fresh: str) -> dict[str, str]:
    """A log of its own for each test, and views in which nothing is."""
    return stack_env | {"CLEW_NAMESPACE": f"own{urandom(4).hex()}", "VIEWS_NAMESPACE": fresh}


async def records_under(log: Log, claim: str) -> tuple[set[UUID], set[UUID]]:
    """The ids of run events that were written under a claim: those that count, and those that are void."""
    claims, valid, void = Claims(), set[UUID](), set[UUID]()
    for record in await log.records(CLAIMED_TOPIC):
        counts = claims.counts(record.headers)
        said = dict(record.headers)
        if said["claim"] == claim.encode() and "ce_subject" in said:
            (valid if counts else void).add(UUID(said["ce_id"].decode()))
    return valid, void


async def test_what_a_killed_owner_saw_count_is_there_for_its_successor(
    env: dict[str, str], views: Views, tmp_path: Path
) -> None:
    await make_topics(env, partitions=1)
    log = Log(settings_from(env))
    async with toy_owner(env, tmp_path) as toy, an_owner(log, views.recovery) as successor:
        await until(lambda: len(toy.valid) > 10 * RUNS)
        toy.process.send_signal(signal.SIGKILL)
        await toy.process.wait()
        await successor.take()
        [past] = successor.pasts
        there = {event.event_id for run in past.open.values() for event in run.events}
        assert toy.valid - there == set()
        assert len(past.open) == RUNS


async def test_what_a_frozen_owner_writes_after_its_successors_claim_is_void(
    env: dict[str, str], views: Views, tmp_path: Path
) -> None:
    await make_topics(env, partitions=1)
    log = Log(settings_from(env))
    async with toy_owner(env, tmp_path) as zombie, an_owner(log, views.recovery) as successor:
        await until(lambda: len(zombie.valid) > 5 * RUNS)
        zombie.process.send_signal(signal.SIGSTOP)
        owned = await successor.take()
        known = {event.event_id for run in successor.pasts[0].open.values() for event in run.events}
        zombie.process.send_signal(signal.SIGCONT)
        await until(lambda: zombie.fenced == RUNS)
        [position] = await successor.write(RunStory().started())
        await owned.valid(position)
        valid, void = await records_under(log, zombie.claim)
        assert void, "the zombie wrote nothing late: the test shows nothing"
        assert zombie.valid & void == set()
        assert zombie.valid - valid == set()
        assert valid == known
