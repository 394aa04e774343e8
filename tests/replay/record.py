"""Records runs by the real engine with a scripted model, in memory: `python -m tests.replay.record`.

What is recorded already is left as it is: a history is of the code that made it. Remove one to record it anew.
Runs of a whole Clew are recorded by `tests/e2e/test_replay.py`, with CLEW_RECORD_HISTORIES.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

from clew.contracts.planning import FailurePolicy, PlanCreated
from clew.replay.recording import Recording, written
from tests.support.lives import cancelled, decided, forked, steered, taken_over, with_child
from tests.support.recordings import Turn, calls, planned_by_model, recorded
from tests.support.run_log import planned, step

TASK = "Find the cheapest flights from NYC to London next week with reasonable travel times"
HISTORIES = Path(__file__).parent / "histories"


def steps_with_tools() -> PlanCreated:
    """Two steps side by side, and one that builds on both."""
    return planned(
        step("sum", tools=("calculator",)),
        step("day", tools=("current_time", "mark_progress")),
        step("answer", "sum", "day"),
    )


def uses_tools(prompt: str) -> list[Turn]:
    if "Do sum." in prompt:
        return [calls("calculator", expression="17 / 100 * 2340"), "It is 397.8."]
    if "Do day." in prompt:
        return [calls("mark_progress", message="Looking"), calls("current_time", timezone="Asia/Tokyo"), "A day."]
    return ["397.8, and a day."]


async def record() -> None:
    again = FailurePolicy(action="retry", attempts=2, backoff=timedelta(milliseconds=20))
    skip = FailurePolicy(action="skip")
    made = {
        "tools": await recorded(steps_with_tools(), uses_tools),
        "bad-arguments": await recorded(
            planned(step("answer", tools=("calculator",))),
            lambda _: [calls("calculator", expression="2 +"), calls("calculator", wrong=1), "It cannot be said."],
        ),
        "retried-and-failed": await recorded(planned(step("answer", on_failure=again)), lambda _: [OSError("away")]),
        "skipped": await recorded(
            planned(step("search", on_failure=skip), step("answer", "search")),
            lambda prompt: ["Without it."] if "Do answer." in prompt else [OSError("away")],
        ),
    }
    made["planned"] = await recorded(await planned_by_model(TASK), lambda _: ["It is done."])
    made["cut-off"] = Recording(made["tools"].events[:9])
    made |= {
        "fork": await forked(20),
        "fork-changed": await forked(20, model="offline", instructions="Answer in Dutch.", tools="stub"),
        "approved": await decided({"decision": "approve"}),
        "denied": await decided({"decision": "deny", "note": "too dear"}),
        "waiting": await decided(None),
        "steered": await steered(),
        "cancelled": await cancelled(),
        "taken-over": await taken_over(),
        "child": await with_child("completed"),
        "child-failed": await with_child("failed"),
        "child-waiting": await with_child(None),
    }
    for name, recording in made.items():
        if not (path := HISTORIES / f"{name}.jsonl").exists():
            path.write_bytes("".join(written(recording)).encode())


if __name__ == "__main__":
    asyncio.run(record())
