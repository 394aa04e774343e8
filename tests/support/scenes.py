"""A run's course written into its message, and the model that follows it: which tools it calls, and what it says.

The scripted model keeps no state: how far a step has come it counts in the conversation, so that a resumed run is
answered rightly. An answer quotes what the tools returned, for tests to read. It plans what the message says.
"""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from tests.support.scripted_openai import ChatRequest, Delayed, Failure, Reply, Text, ToolCall, calls

_SCENE = re.compile(r"SCENE (\{.*\})")
_ACT = re.compile(r"ACT (\{.*\})")
_REQUEST = re.compile(r"<request>\n(.*)\n</request>", re.DOTALL)


class Use(BaseModel):
    """A tool call that the model makes. `id` is the provider's, which says little."""

    model_config = ConfigDict(frozen=True)

    tool: str
    arguments: dict[str, Any] = {}
    id: str | None = None


class Act(BaseModel):
    """One step. `rounds`: the tool calls that the model makes side by side, time after time; then it answers.

    `think` is the seconds that each request takes; `endless` repeats the last round for ever. A step of kind `delegate`
    gives its `child` to a run of its own.
    """

    model_config = ConfigDict(frozen=True)

    step_id: str = "act"
    kind: str = "act"
    rounds: tuple[tuple[Use, ...], ...] = ()
    after: tuple[str, ...] = ()
    think: float = 0
    words: str = "All is done"
    endless: bool = False
    tools: tuple[str, ...] = ()
    child: "Scene | None" = None

    @property
    def draft(self) -> dict[str, Any]:
        """The step as a planner's model writes it."""
        text = self.child.text if self.child else f"ACT {self.model_dump_json(exclude={'child'})}"
        return {
            "step_id": self.step_id,
            "kind": self.kind,
            "title": self.step_id,
            "instructions": text,
            "agent": "assistant",
            "tools": sorted({*self.tools, *(use.tool for uses in self.rounds for use in uses)} - {"teleport"}),
            "depends_on": list(self.after),
        }


class Scene(BaseModel):
    """The steps of a run. `plan_seconds` is how long the planner's model thinks."""

    model_config = ConfigDict(frozen=True)

    acts: tuple[Act, ...]
    plan_seconds: float = 0

    @property
    def text(self) -> str:
        """The message that asks for it."""
        return f"SCENE {self.model_dump_json()}"


def scene(*rounds: Use | tuple[Use, ...], think: float = 0, words: str = "All is done") -> str:
    """The message that asks for one step with these rounds of tool calls."""
    each = tuple(uses if isinstance(uses, tuple) else (uses,) for uses in rounds)
    return Scene(acts=(Act(rounds=each, think=think, words=words),)).text


def use(tool: str, id: str | None = None, /, **arguments: Any) -> Use:
    return Use(tool=tool, arguments=arguments, id=id)


def follow_scenes(request: ChatRequest) -> Reply:
    """Answers by the scenes in what it is asked; `ScriptedOpenAI.answer_with` takes it."""
    offered = str(request.body.get("tools"))
    found = _SCENE.findall(request.last_user_text)
    asked = Scene.model_validate_json(found[-1]) if found else None
    if "actionable" in offered:
        verdict = {"actionable": asked is not None, "reason": "as it says", "confidence": 1.0}
        return calls(ToolCall(request.tool_names[0], verdict))
    if "rationale" in offered:
        return _plan(request, asked)
    return _act(request)


def _act(request: ChatRequest) -> Reply:
    place, act = _act_of(request)
    if act is None:
        return Text(f"You said: {_REQUEST.findall(request.last_user_text)[-1]}")
    results = [str(m["content"]) for m in request.messages[place:] if m["role"] == "tool"]
    said = [str(m["content"]) for m in request.messages[place + 1 :] if m["role"] == "user"]
    return Delayed(_answer(act, results, said), act.think)


def _plan(request: ChatRequest, asked: Scene | None) -> Reply:
    if asked is None:
        return Failure(400, "there is no scene in the message")
    draft = {"rationale": "As it says.", "steps": [act.draft for act in asked.acts]}
    return Delayed(calls(ToolCall(request.tool_names[0], draft)), asked.plan_seconds)


def _act_of(request: ChatRequest) -> tuple[int, Act | None]:
    """The step that the conversation is about, and the message that named it: what people say later names none."""
    for place in range(len(request.messages) - 1, -1, -1):
        found = _ACT.findall(str(request.messages[place]["content"]))
        if found and request.messages[place]["role"] == "user":
            return place, Act.model_validate_json(found[-1])
    return 0, None


def _answer(act: Act, results: list[str], said: list[str]) -> Reply:
    left = len(results)
    for uses in act.rounds:
        if left < len(uses):
            return _called(uses)
        left -= len(uses)
    if act.endless:
        return _called(act.rounds[-1])
    return Text(" | ".join([act.words, *results, *said]), pieces=6)


def _called(uses: tuple[Use, ...]) -> Reply:
    return calls(*(ToolCall(each.tool, each.arguments, id=each.id) for each in uses))
