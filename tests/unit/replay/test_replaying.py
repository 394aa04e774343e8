"""Today's code over recorded runs: the same is identical, and each planted change is caught at the call it changes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from clew.contracts.execution import CallStarted
from clew.contracts.planning import FailurePolicy, Plan, PlanCreated
from clew.executor import agents
from clew.executor.tools import DeclaredTool, ToolRegistry, builtin_tools, tool
from clew.replay.errors import CannotReplay, Missing
from clew.replay.recording import Recording
from clew.replay.replaying import replay
from clew.replay.verdict import Difference, Verdict
from tests.support.recordings import Turn, calls, recorded
from tests.support.run_log import planned, step

RAN: list[str] = []


@tool(policy="idempotent", timeout=timedelta(seconds=5))
def deliver(parcel: str, floor: int = 1) -> str:
    """Delivers a parcel.

    Args:
        parcel: What to deliver.
        floor: Where to.
    """
    RAN.append(parcel)
    return f"{parcel} is on floor {floor}"


def tools(*more: DeclaredTool) -> ToolRegistry:
    registry = builtin_tools()
    for declared in more or (deliver,):
        registry.add(declared)
    return registry


def plan() -> PlanCreated:
    first = step("work", tools=("deliver", "calculator"))
    return planned(first, step("answer", "work"))


def script(prompt: str) -> list[Turn]:
    if "Do work." in prompt:
        return [calls("deliver", parcel="box"), calls("calculator", expression="2 + 2"), "It is delivered."]
    return ["All is well."]


def difference(verdict: Verdict) -> Difference:
    assert verdict.status == "diverged"
    assert verdict.difference is not None
    return verdict.difference


async def test_the_same_code_is_identical_and_no_tool_runs() -> None:
    recording = await recorded(plan(), script, tools())
    RAN.clear()
    first, again = await replay(recording, tools()), await replay(recording, tools())
    assert (first.status, first.calls, first.beyond) == ("identical", 6, False)
    assert first.hash == again.hash
    assert RAN == []


async def test_every_beginning_of_a_run_replays_identically() -> None:
    recording = await recorded(plan(), script, tools())
    RAN.clear()
    for seq in range(3, recording.events[-1].seq + 1):
        verdict = await replay(recording.until(seq), tools())
        assert verdict.difference is None, f"until {seq}: {list(verdict.difference.lines())}"
    assert RAN == []


async def test_a_changed_instruction_is_caught_at_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await recorded(plan(), script, tools())
    description, instructions = agents._prompt("assistant")  # pyright: ignore[reportPrivateUsage]

    def changed(_: str) -> tuple[str, str]:
        return description, f"{instructions}\nBe brief."

    monkeypatch.setattr(agents, "_prompt", changed)
    found = difference(await replay(recording, tools()))
    assert found.place == "work.1/assistant/model/1/0"
    text = list(found.lines())
    assert "  instructions:" in text
    assert "    +Be brief." in text


async def test_a_changed_schema_is_caught_at_the_first_request_that_has_the_tool() -> None:
    recording = await recorded(plan(), script, tools())

    @tool(policy="idempotent")
    def deliver(parcel: str, floor: int = 1, fragile: bool = False) -> str:
        """Delivers a parcel.

        Args:
            parcel: What to deliver.
            floor: Where to.
            fragile: Whether it breaks.
        """
        return parcel

    found = difference(await replay(recording, tools(deliver)))
    assert found.place == "work.1/assistant/model/1/0"
    assert "  tool schemas:" in found.lines()
    assert any("+" in line and "fragile" in line for line in found.lines())


async def test_a_changed_default_argument_is_caught() -> None:
    recording = await recorded(plan(), script, tools())

    @tool(policy="idempotent")
    def deliver(parcel: str, floor: int = 2) -> str:
        """Delivers a parcel.

        Args:
            parcel: What to deliver.
            floor: Where to.
        """
        return parcel

    found = difference(await replay(recording, tools(deliver)))
    assert found.place == "work.1/assistant/model/1/0"
    assert any(line.strip().startswith("+") and '"default": 2' in line for line in found.lines())


async def test_a_changed_order_of_steps_is_caught_at_the_step_that_comes_too_early() -> None:
    recording = await recorded(plan(), script, tools())
    swapped = Plan(steps=(step("answer"), step("work", tools=("deliver", "calculator"))))
    assert recording.plan is not None
    events = [recording.plan.model_copy(update={"plan": swapped}), *recording.events[1:]]
    found = difference(await replay(Recording(events), tools()))
    assert found.place == "answer.1/assistant/model/1/0"
    assert "  messages:" in found.lines()


async def test_a_call_with_other_arguments_shows_both_sides() -> None:
    recording = await recorded(plan(), script, tools())
    events: list[Any] = [
        event.model_copy(update={"request": {"parcel": "letter", "floor": 1}})
        if isinstance(event, CallStarted) and event.name == "deliver"
        else event
        for event in recording.events
    ]
    found = difference(await replay(Recording(events), tools()))
    assert found.place.startswith("work.1/assistant/tool/1/")
    assert (found.recorded, found.now) == ({"parcel": "letter"}, {"parcel": "box"})


async def test_a_call_that_is_not_made_any_more_is_named() -> None:
    recording = await recorded(plan(), script, tools())
    [extra] = [e for e in recording.events if isinstance(e, CallStarted) and e.name == "deliver"]
    added = extra.model_copy(update={"call_key": "work.1/assistant/tool/1/other", "name": "vanished"})
    events = [*recording.events[:-1], added, recording.events[-1]]
    found = difference(await replay(replace(recording, events=events), tools()))
    assert "'vanished' is not made any more" in found.what


async def test_a_tool_that_is_gone_is_named() -> None:
    recording = await recorded(plan(), script, tools())
    with pytest.raises(Missing, match="had the tool 'deliver', which does not exist any more"):
        await replay(recording, builtin_tools())


async def test_an_agent_that_is_gone_is_named() -> None:
    recording = await recorded(plan(), script, tools())
    assert recording.plan is not None
    steps = tuple(one.model_copy(update={"agent": "ghost"}) for one in recording.plan.plan.steps)
    events = [recording.plan.model_copy(update={"plan": Plan(steps=steps)}), *recording.events[1:]]
    with pytest.raises(Missing, match="step 'work' used the agent 'ghost'; there are"):
        await replay(Recording(events), tools())


async def test_failures_and_retries_are_replayed_without_waiting() -> None:
    again = FailurePolicy(action="retry", attempts=2, backoff=timedelta(milliseconds=20))
    failing = planned(step("answer", on_failure=again))
    recording = await recorded(failing, lambda _: [ValueError("no answer")])
    async with asyncio.timeout(10):
        verdict = await replay(recording)
    assert verdict.difference is None


async def test_a_run_that_never_began_cannot_be_replayed() -> None:
    with pytest.raises(CannotReplay, match="nothing to replay"):
        await replay(Recording([plan()]))
