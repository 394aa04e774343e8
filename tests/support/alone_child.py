"""A child process of quarantine whose work is told by the plan: to answer, to die, or to hang."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from clew.contracts.planning import PlanCreated, Step
from clew.executor.journal import RunJournal
from clew.executor.limits import LifeLimits
from clew.executor.quarantined import run_alone
from clew.executor.supervisor import Perform
from clew.executor.working import Performer
from tests.support.run_log import NOON


async def _performer(plan: PlanCreated, journal: RunJournal) -> Perform:
    async def perform(step: Step, attempt: int) -> str:
        print("this is no event")
        match step.instructions:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                await asyncio.sleep(60)
            case _:
                await journal.progress(step.step_id, "alone")
        return "survived"

    return perform


@asynccontextmanager
async def _performing() -> AsyncGenerator[Performer]:
    yield _performer


if __name__ == "__main__":
    asyncio.run(run_alone(_performing(), LifeLimits(), timedelta(days=1), lambda: NOON))
