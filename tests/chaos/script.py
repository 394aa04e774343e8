"""What a chaos run does, written into its message, and the model that reads it back: the same words, the same answer.

A script is steps; a step is rounds of tool calls, then an answer. The scripted model keeps no state: how far a step
has come it counts in the conversation, as it was told by whoever asks, so that a resumed run is answered rightly.
"""

import re
import time
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from pydantic import BaseModel, ConfigDict

from tests.support.scripted_openai import ChatRequest, Delayed, Failure, Reply, Text, ToolCall, calls

_SCRIPT = re.compile(r"CHAOS-SCRIPT (\{.*\})")
CALL_TOKEN = re.compile(r"\w+/\w+/\d+\.\d+")  # as `StepScript.call_token` writes it
_STEP = re.compile(r"CHAOS-STEP (\{.*\})")


class StepScript(BaseModel):
    """One step. `rounds`: the tools that the model calls side by side, time after time; `think` and `work` are the
    seconds that a model request and a tool take. `token` is set when the step is told apart from its script."""

    model_config = ConfigDict(frozen=True)

    step_id: str
    rounds: tuple[tuple[str, ...], ...]
    after: tuple[str, ...] = ()
    think: float = 0.05
    work: float = 0.1
    token: str = ""

    def call_token(self, number: int, place: int) -> str:
        """The name of a tool call: run, step, round and place in the round."""
        return f"{self.token}/{self.step_id}/{number}.{place}"


class Script(BaseModel):
    """The steps of a run; `token` is its name in the trial."""

    model_config = ConfigDict(frozen=True)

    token: str
    steps: tuple[StepScript, ...]

    @property
    def text(self) -> str:
        """The message that asks for it."""
        return f"CHAOS-SCRIPT {self.model_dump_json()}"


def script_in(text: str) -> Script | None:
    """The script that a message holds, if any."""
    found = _SCRIPT.findall(text)
    return Script.model_validate_json(found[-1]) if found else None


@dataclass(frozen=True, slots=True)
class Asked:
    """A model request that arrived: for the `round`-th answer (from 0) of a step, at `at` seconds of the epoch."""

    token: str
    step_id: str
    round: int
    at: float


@dataclass
class ScriptedModel:
    """Answers by the scripts in what it is asked, and keeps what the executors asked."""

    asked: list[Asked] = field(default_factory=list[Asked])

    def __call__(self, request: ChatRequest) -> Reply:
        offered = str(request.body.get("tools"))
        if "actionable" in offered:
            verdict = {"actionable": True, "reason": "a script", "confidence": 1.0}
            return calls(ToolCall(request.tool_names[0], verdict))
        if "rationale" in offered:
            return self._plan(request)
        return self._step(request)

    def _plan(self, request: ChatRequest) -> Reply:
        script = script_in(request.last_user_text)
        if script is None:
            return Failure(400, "there is no script in the message")
        return calls(ToolCall(request.tool_names[0], {"rationale": "As scripted.", "steps": _draft(script)}))

    def _step(self, request: ChatRequest) -> Reply:
        place, step = _step_of(request)
        if step is None:
            return Failure(400, "there is no step in the conversation")
        returned = sum(message["role"] == "tool" for message in request.messages[place:])
        ends = [0, *accumulate(len(names) for names in step.rounds)]
        if returned not in ends:
            return Failure(400, f"{returned} results came back, which is no whole number of rounds")
        number = ends.index(returned)
        self.asked.append(Asked(step.token, step.step_id, number, time.time()))
        return Delayed(_answer(step, number), step.think)


def _draft(script: Script) -> list[dict[str, Any]]:
    return [
        {
            "step_id": step.step_id,
            "kind": "act",
            "title": step.step_id,
            "instructions": f"CHAOS-STEP {step.model_copy(update={'token': script.token}).model_dump_json()}",
            "agent": "assistant",
            "tools": sorted({name for names in step.rounds for name in names}),
            "depends_on": list(step.after),
        }
        for step in script.steps
    ]


def _step_of(request: ChatRequest) -> tuple[int, StepScript | None]:
    """The step that the conversation is about, and the message that named it: what people say later names none."""
    for place in range(len(request.messages) - 1, -1, -1):
        found = _STEP.findall(str(request.messages[place]["content"]))
        if found and request.messages[place]["role"] == "user":
            return place, StepScript.model_validate_json(found[-1])
    return 0, None


def _answer(step: StepScript, number: int) -> Reply:
    if number == len(step.rounds):
        return Text(f"{step.token}/{step.step_id}: all is done as it was asked for.", pieces=6)
    names = step.rounds[number]
    return calls(
        *(
            # The same ids in every round, as local servers give them: no journal may take them for names.
            ToolCall(name, {"token": step.call_token(number, place), "seconds": step.work}, id=f"call_{place}")
            for place, name in enumerate(names)
        )
    )
