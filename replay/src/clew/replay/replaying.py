"""Today's code over a record: the plan is carried out by the real supervisor and engine, and every answer is recorded.

It opens nothing and waits for nothing. That nothing outside can be reached is seen to by `isolated`.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from clew.contracts.execution import RunCompleted, RunFailed
from clew.contracts.planning import PlanCreated
from clew.executor.agents import AGENTS, Agents, Limits, Ports
from clew.executor.calls import Diverged, JournalCorrupt
from clew.executor.children import DELEGATE
from clew.executor.conversation import Conversation, Conversations
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.execution import Completes, Outcome, ready
from clew.executor.model_policy import ModelPolicy
from clew.executor.settings import Settings
from clew.executor.tools import ToolRegistry, builtin_tools, load_tools
from clew.executor.working import working
from clew.replay.errors import CannotReplay, Missing
from clew.replay.facts import Facts
from clew.replay.journal import ReplayJournal
from clew.replay.past import Past, past_of
from clew.replay.planning import Replanned, replan
from clew.replay.recording import Recording
from clew.replay.standins import standing_in
from clew.replay.stops import NOWHERE, Stopped, Stops
from clew.replay.verdict import Difference, Verdict, sides

SETTLE: Final = 0.02  # seconds in which nothing new is asked: then all that could go on has come to the record's end
LONGEST: Final = 300.0  # seconds for one replay; it makes no call, so only code that hangs takes so long


class Told(Conversations):
    """The conversation as the recording at hand holds it."""

    def __init__(self, recording: Recording | None = None) -> None:
        self.recording = recording

    async def of(self, plan: PlanCreated) -> Conversation:
        assert self.recording is not None
        return Conversation(self.recording.history, self.recording.summaries, self.recording.untrusted)

    def now(self) -> datetime:
        assert self.recording is not None
        return self.recording.events[-1].occurred_at


def registry(environ: Mapping[str, str] = os.environ) -> ToolRegistry:
    """The tools of today: those of the package, and the user's own."""
    tools = builtin_tools()
    if folder := environ.get("CLEW_TOOLS_PATH"):
        load_tools(Path(folder), tools)
    return tools


@dataclass(frozen=True)
class How:
    """`planning`: whether the plan is made again too, or only carried out; `stops`: where to stop on the way."""

    planning: bool = True
    stops: Stops = NOWHERE


ALL: Final = How()


class Replayer:
    """Replays recordings, one after the other; agents are built once for all of them."""

    def __init__(self, tools: ToolRegistry) -> None:
        self._tools = tools
        self._told = Told()
        self._ports = Ports(EgressClient(EgressPolicy()), None, None)
        self._agents: dict[str, Agents] = {}
        self._model = cache(standing_in)

    async def replay(self, recording: Recording, how: How = ALL) -> Verdict:
        """What came of it. Missing and CannotReplay when today's code cannot even begin."""
        past = past_of(recording)
        _check(past.plan, Facts(past.events), self._tools)
        how.stops.check(past.events)
        planned = await self._planned(past, recording) if how.planning and past.plan.exchanges else Replanned()
        if planned.difference is not None:
            return _verdict(recording, planned, None, planned.difference)
        journal = ReplayJournal(past, how.stops)
        self._told.recording = recording
        try:
            difference = await _followed(past, journal, self._of(past.model), how)
        except Stopped as stopped:
            return replace(_verdict(recording, planned, journal, None), status="stopped", moment=stopped.moment)
        return _verdict(recording, planned, journal, difference)

    async def _planned(self, past: Past, recording: Recording) -> Replanned:
        return await replan(past.plan, recording.history, self._model(past.model))

    def _of(self, model: str) -> Agents:
        """The agents with a model of that name."""
        if model not in self._agents:
            requests = int(os.environ.get("CLEW_STEP_REQUESTS") or Settings.model_fields["step_requests"].default)
            limits, choice = Limits(ModelPolicy(), requests), self._model(model)
            self._agents[model] = Agents(self._tools, choice, {}, self._told, self._ports, limits, self._told.now)
        return self._agents[model]


async def replay(recording: Recording, tools: ToolRegistry | None = None, how: How = ALL) -> Verdict:
    """One recording, by itself (`Replayer.replay`)."""
    return await Replayer(tools or registry()).replay(recording, how)


async def _followed(past: Past, journal: ReplayJournal, agents: Agents, how: How) -> Difference | None:
    """The first difference. CannotReplay when the replay itself broke, or hangs."""
    try:
        async with asyncio.timeout(None if how.stops.debugger else LONGEST):
            outcome = await _carried_out(past.plan.model_copy(update={"model": None}), journal, agents)
    except Diverged as error:
        return journal.difference or Difference("run", str(error), None, None)
    except (JournalCorrupt, TimeoutError) as error:
        raise CannotReplay(f"the replay broke: {type(error).__name__}: {error}") from error
    return _end_differs(journal.facts, outcome)


def _verdict(
    recording: Recording, planned: Replanned, journal: ReplayJournal | None, difference: Difference | None
) -> Verdict:
    """Steps side by side come in any order, so the hash is over sorted rows: all that was asked, answered, decided."""
    told = [*planned.told, *(journal.told if journal is not None else ())]
    rows = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in told)
    return Verdict(
        "identical" if difference is None else "diverged",
        str(recording.run_id),
        planned.calls + (len(journal.asked_keys) if journal is not None else 0),
        sha256("\n".join(rows).encode()).hexdigest(),
        journal is not None and bool(journal.blocked),
        difference,
    )


def _check(plan: PlanCreated, facts: Facts, tools: ToolRegistry) -> None:
    """Missing for what the run used and nobody offers any more."""
    used = {call.first.step_id for call in facts.calls.values()}
    for step in plan.plan.steps:
        if step.step_id not in used or step.kind == DELEGATE:
            continue
        if step.agent not in AGENTS:
            raise Missing(f"step {step.step_id!r} used the agent {step.agent!r}; there are {', '.join(AGENTS)}")
        for name in step.tools:
            if name not in tools:
                raise Missing(f"step {step.step_id!r} had the tool {name!r}, which does not exist any more")


async def _carried_out(plan: PlanCreated, journal: ReplayJournal, agents: Agents) -> Outcome | None:
    """The outcome; None when everything came to the end of the record."""
    work = asyncio.ensure_future(working(plan, journal, agents.performer, None, lambda: None))
    try:
        while not work.done():
            halted = asyncio.ensure_future(journal.halted.wait())
            await asyncio.wait({work, halted}, return_when=asyncio.FIRST_COMPLETED)
            halted.cancel()
            asked = len(journal.told)
            if not work.done():
                await asyncio.wait({work}, timeout=SETTLE)
            waiting = {step.step_id for step in ready(plan.plan, journal.state)} <= journal.blocked
            if not work.done() and waiting and asked == len(journal.told):
                return None
        return work.result()
    finally:
        work.cancel()
        await asyncio.wait({work})


def _end_differs(facts: Facts, outcome: Outcome | None) -> Difference | None:
    recorded = facts.outcome
    if recorded is None:
        return None
    was: JsonValue = _ended(recorded)
    now: JsonValue = {}
    if isinstance(outcome, Completes):
        now = {"end": "completed", "output": outcome.output}
    elif outcome is not None:
        now = {"end": "failed", "reason": outcome.reason, "error": outcome.error}
    return None if was == now else Difference("run", "the run ends otherwise", *sides(was, now), recorded.seq)


def _ended(event: RunCompleted | RunFailed) -> JsonValue:
    if isinstance(event, RunCompleted):
        return {"end": "completed", "output": event.output}
    return {"end": "failed", "reason": event.reason, "error": event.error}
