"""A child process of quarantine whose work is told by the plan: to answer, to die, to hang, to ask or to listen."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count

from clew.contracts.conversation import text_of
from clew.contracts.envelope import derive
from clew.contracts.planning import PlanCreated, Step
from clew.executor.calls import Call
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
            case "freeze":
                await journal.progress(step.step_id, "frozen")
                await asyncio.sleep(0.1)
                _stand_still()
            case "ask":
                return await _asked(step, journal)
            case "listen":
                return await _told(journal)
            case _:
                await journal.progress(step.step_id, "alone")
        return "survived"

    return perform


def _stand_still() -> None:
    """As a tool does that never gives the event loop back."""
    time.sleep(60)


async def _asked(step: Step, journal: RunJournal) -> str:
    """What a person says to a call that may have happened."""
    key = f"{step.step_id}.1/tool/send"
    call = Call(derive(journal.run_id, key), key, step.step_id, "tool", "send", 1, "ask")
    return str((await journal.decide(call, {}, "nobody knows", "in_doubt")).result)


async def _told(journal: RunJournal) -> str:
    """The first thing that is said to the run."""
    for n in count():
        if heard := await journal.heard(f"answer/model/{n}"):
            return text_of(heard[0])
        await asyncio.sleep(0.01)
    raise AssertionError("count ends never")


@asynccontextmanager
async def _performing() -> AsyncGenerator[Performer]:
    yield _performer


if __name__ == "__main__":
    asyncio.run(run_alone(_performing(), LifeLimits(), timedelta(days=1), lambda: NOON))
