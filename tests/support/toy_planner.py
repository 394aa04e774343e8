"""A planner without a model, to see the chassis at work: the words of a message say what its handler does.

`slow N` takes N seconds, `reject` and `broken` refuse it, `flaky` fails at the first try, `later N` puts it off until
it is N seconds old, `fenced N` is fenced until then, `block` holds up the whole process, `thread` leaves a thread
behind that never ends, `deaf` does not hear that it is cancelled, after `hang` the group never answers its client
again, as may be after a restart of the broker. The plan's rationale tells
whether the delivery was marked as backlog; the log tells when each began. Run it as a program, with the limit of its
handlers in seconds if you like, and the patience of its watchdog and of its stop.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup

from clew.chassis import consumer, progress, service, watchdog
from clew.chassis.context import Context
from clew.chassis.errors import Fenced, RejectEvent, RetryLater
from clew.chassis.service import Service
from clew.chassis.settings import ServiceSettings
from clew.contracts.conversation import UserMessageReceived, text_of
from clew.contracts.envelope import Event
from clew.contracts.execution import RunStarted
from clew.contracts.planning import Plan, PlanCreated, Step

RETRY_FOR = timedelta(seconds=3)
log = logging.getLogger("toy")


async def on_user_message_received(message: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
    log.info("began %s", message.event_id)
    match text_of(message.content).split():
        case ["slow", seconds]:
            await asyncio.sleep(float(seconds))
        case ["reject", *_]:
            raise RejectEvent("the message asks to be rejected")
        case ["flaky"] if not context.backlog:
            raise ConnectionError("not at the first try")
        case ["later", seconds] if context.now() - message.occurred_at < timedelta(seconds=float(seconds)):
            raise RetryLater(timedelta(seconds=0.2))
        case ["fenced", seconds] if context.now() - message.occurred_at < timedelta(seconds=float(seconds)):
            raise Fenced("not yet")
        case [word, *_] if word in MISDEEDS:
            await MISDEEDS[word]()
        case _:
            await asyncio.sleep(0)
    step = Step(step_id="only", kind="respond", title="Answer", instructions="Answer.", agent="assistant")
    yield PlanCreated(
        **context.stamp(1),
        thread_id=message.thread_id,
        run_id=message.run_id,
        seq=1,
        message_event_id=message.event_id,
        content=message.content,
        parent_run_id=None,
        actionable=False,
        plan=Plan(steps=(step,), rationale="backlog" if context.backlog else "fresh"),
    )


async def on_run_started(started: RunStarted, context: Context) -> AsyncIterator[Event]:
    log.info("heard %s", started.event_id)
    return
    yield  # what makes it a handler


async def _block() -> None:
    time.sleep(1000)  # noqa: ASYNC251  # what a handler must never do


async def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=[1000]).start()


async def _hear_nothing() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


async def _break() -> None:
    raise ZeroDivisionError("never")


async def _cut_off_from_the_group() -> None:
    """No request to the coordinator is answered any more; the rest of the client works."""
    client: Any = AIOKafkaClient  # typed in part only
    send = client.send

    async def hung(self: Any, node: Any, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        if group == ConnectionGroup.COORDINATION:
            await asyncio.Event().wait()
        return await send(self, node, request, group=group)

    client.send = hung


MISDEEDS = {
    "block": _block,
    "thread": _leave_a_thread,
    "deaf": _hear_nothing,
    "hang": _cut_off_from_the_group,
    "broken": _break,
}


def main() -> None:
    consumer.BACKOFF = (0.1, 0.1)
    consumer.CUT_OFF = 0.5
    watchdog.STILL_AFTER = 3
    if len(sys.argv) > 2:
        progress.STUCK_AFTER = service.STOP_LIMIT = float(sys.argv[2])
    limit = timedelta(seconds=float(sys.argv[1])) if len(sys.argv) > 1 else timedelta(minutes=5)
    planner = Service("planner", ServiceSettings())  # pyright: ignore[reportCallIssue]  # from the environment
    planner.on(UserMessageReceived, on_user_message_received, limit=limit, retry_for=RETRY_FOR)
    planner.on(RunStarted, on_run_started)
    planner.run()


if __name__ == "__main__":
    main()
