"""Today's planner over recorded plans: the same is identical, each planted change is caught where it matters."""

from dataclasses import replace
from typing import Any

import pytest

from clew.contracts.planning import Plan
from clew.planner import agents
from clew.planner.capabilities import Capabilities
from clew.planner.drafts import PlanDraft
from clew.replay.errors import CannotReplay
from clew.replay.planning import offered
from clew.replay.recording import Recording, read, written
from clew.replay.replaying import How, replay
from clew.replay.verdict import Difference
from tests.support.recordings import OFFERED, planned_by_model, recorded

TASK = "Find the cheapest flights from NYC to London next week with reasonable travel times"
GREETING = "Hello, how are you?"


async def recording_of(text: str) -> Recording:
    return await recorded(await planned_by_model(text), lambda _: ["It is done."])


async def difference(recording: Recording) -> Difference:
    verdict = await replay(recording)
    assert (verdict.status, verdict.difference is None) == ("diverged", False)
    assert verdict.difference is not None
    return verdict.difference


@pytest.mark.parametrize("text", [TASK, GREETING])
async def test_the_same_planner_makes_the_same_plan_and_its_requests_count(text: str) -> None:
    recording = await recording_of(text)
    assert recording.plan is not None
    verdict = await replay(read("".join(written(recording))))
    assert verdict.difference is None, list(verdict.difference.lines())
    assert verdict.calls == len(recording.plan.exchanges) + len(recording.plan.plan.steps)
    without = await replay(recording, how=How(planning=False))
    assert without.calls == len(recording.plan.plan.steps)
    assert without.hash != verdict.hash


@pytest.mark.parametrize(("prompt", "place"), [("detect", "plan/detect/1"), ("plan", "plan/plan/1")])
async def test_a_changed_instruction_of_the_planner_is_caught_at_the_request_that_has_it(
    monkeypatch: pytest.MonkeyPatch, prompt: str, place: str
) -> None:
    recording = await recording_of(TASK)
    was = agents._prompt  # pyright: ignore[reportPrivateUsage]

    def thinking(name: str) -> str:
        return was(name) + ("\nThink twice." if name == prompt else "")

    agents._detector.cache_clear()  # pyright: ignore[reportPrivateUsage]
    try:
        monkeypatch.setattr(agents, "_prompt", thinking)
        found = await difference(recording)
    finally:
        agents._detector.cache_clear()  # pyright: ignore[reportPrivateUsage]
    assert (found.place, found.seq) == (place, 1)
    assert "    +Think twice." in list(found.lines())
    assert not any("capabilities" in line and line.startswith("    -") for line in found.lines())


async def test_another_order_of_steps_is_caught_at_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await recording_of(TASK)
    made = agents.plan_of

    def turned(draft: PlanDraft) -> Plan:
        first, second, *rest = (step.model_copy(update={"depends_on": ()}) for step in made(draft).steps)
        return Plan(steps=(second, first, *rest), rationale=draft.rationale)

    monkeypatch.setattr(agents, "plan_of", turned)
    found = await difference(recording)
    assert (found.place, found.what) == ("plan", "the steps come in another order")
    assert found.recorded is not None
    assert found.now is not None
    assert found.recorded["steps"] != found.now["steps"]


async def test_other_instructions_of_a_step_are_caught_at_that_step(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await recording_of(TASK)
    assert recording.plan is not None
    made, last = agents.plan_of, recording.plan.plan.steps[-1]

    def shouting(draft: PlanDraft) -> Plan:
        *rest, end = made(draft).steps
        return Plan(steps=(*rest, end.model_copy(update={"instructions": "LOUDER"})), rationale=draft.rationale)

    monkeypatch.setattr(agents, "plan_of", shouting)
    found = await difference(recording)
    assert found.place == f"plan/step {last.step_id}"
    assert (found.recorded, found.now) == ({"instructions": last.instructions}, {"instructions": "LOUDER"})


async def test_a_planner_that_has_other_demands_on_a_plan_asks_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await recording_of(TASK)

    def none_will_do(draft: PlanDraft, known: Capabilities) -> list[str]:
        return ["Make it rhyme."]

    monkeypatch.setattr(agents, "problems", none_will_do)
    found = await difference(recording)
    assert (found.place, found.what, found.recorded) == ("plan", "the planner asks a model once more", None)
    assert "Make it rhyme." in str(found.now)


async def test_a_request_that_is_not_made_any_more_is_named() -> None:
    recording = await recording_of(TASK)
    assert recording.plan is not None
    twice = (*recording.plan.exchanges, recording.plan.exchanges[-1])
    events: list[Any] = [recording.plan.model_copy(update={"exchanges": twice}), *recording.events[1:]]
    found = await difference(replace(recording, events=events))
    assert (found.place, found.now) == ("plan/plan/2", None)


async def test_what_executors_offered_is_taken_from_the_record() -> None:
    recording = await recording_of(TASK)
    assert recording.plan is not None
    assert offered(recording.plan).agents == OFFERED.agents
    assert {name: tool.policy for name, tool in offered(recording.plan).tools.items()} == {
        name: tool.policy for name, tool in OFFERED.tools.items()
    }


async def test_an_answer_that_cannot_be_read_cannot_be_replayed() -> None:
    recording = await recording_of(GREETING)
    assert recording.plan is not None
    broken = recording.plan.exchanges[0].model_copy(update={"response": {"parts": 3}})
    events: list[Any] = [recording.plan.model_copy(update={"exchanges": (broken,)}), *recording.events[1:]]
    with pytest.raises(CannotReplay, match="the recorded answer plan/detect/1 cannot be read"):
        await replay(replace(recording, events=events))
