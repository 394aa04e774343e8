"""A planner without a model, to see the chassis at work: the words of a message say what its handler does.

`slow N` takes N seconds, `reject` and `broken` refuse it, `flaky` fails at the first try. The plan's rationale tells
whether the delivery was marked as backlog. Run it as a program.
"""

import asyncio
from collections.abc import AsyncIterator

from clew.chassis import consumer
from clew.chassis.context import Context
from clew.chassis.errors import RejectEvent
from clew.chassis.service import Service
from clew.chassis.settings import ServiceSettings
from clew.contracts.conversation import UserMessageReceived, text_of
from clew.contracts.envelope import Event
from clew.contracts.planning import Plan, PlanCreated, Step


async def on_user_message_received(message: UserMessageReceived, context: Context) -> AsyncIterator[Event]:
    match text_of(message.content).split():
        case ["slow", seconds]:
            await asyncio.sleep(float(seconds))
        case ["reject", *_]:
            raise RejectEvent("the message asks to be rejected")
        case ["flaky"] if not context.backlog:
            raise ConnectionError("not at the first try")
        case ["broken"]:
            raise ZeroDivisionError("never")
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


def main() -> None:
    consumer.BACKOFF = (0.1, 0.1)
    service = Service("planner", ServiceSettings())  # pyright: ignore[reportCallIssue]  # from the environment
    service.on(UserMessageReceived, on_user_message_received)
    service.run()


if __name__ == "__main__":
    main()
