"""The short trial: kill anything, lose nothing, repeat nothing. `make chaos` is the long one."""

import os
from pathlib import Path

import pytest

from clew.local.stack import Stack
from tests.chaos.oracle.invariants import judge
from tests.chaos.report import table, verdict
from tests.chaos.schedule import schedule
from tests.chaos.trial import Plan, Trial
from tests.chaos.workload import workload

SEED = int(os.environ.get("CHAOS_SEED", "4"))
SECONDS = 90.0  # of talking; one round of acts takes as long
RUNS = 200

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(600)]


async def test_nothing_is_lost_or_repeated_whatever_is_killed(
    stack: Stack, stack_env: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    plan = Plan(workload(SEED, SECONDS, RUNS), schedule(SEED, SECONDS))
    outcome = await Trial(stack, stack_env | {"CLEW_NAMESPACE": namespace}, tmp_path, plan).run()
    violations = judge(outcome.facts)
    print(table(outcome))
    assert violations == [], verdict(violations, SEED)
