"""A run as the OpenAI API tells of an answer: what is asked, and the answer's text as it comes. Pure: no I/O."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from clew.gateway.carried import Turn
from clew.gateway.errors import Conflict, Invalid, Problem, Unavailable
from clew.gateway.schemas import ModelName
from clew.views.client import ClientEvent

OURS = ("clew", "default")  # names of "whichever model the platform uses"
WORDLESS = ("approval", "question", "operator", "diverged", "journal")  # why a run may wait for a person


class Part(BaseModel):
    type: Literal["text"]
    text: str


class Said(BaseModel):
    """One message of the conversation, in the forms that text can have."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    def turn(self) -> Turn | None:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or [])
        return Turn(self.role, text) if text else None


class StreamOptions(BaseModel):
    include_usage: bool = False


class CompletionCreate(BaseModel):
    """Settings of sampling are accepted and not used: which model answers, and how, is the platform's matter."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "clew", "messages": [{"role": "user", "content": "what is 17% of 2,340?"}]}]
        }
    )

    model: ModelName = "clew"
    messages: list[Said] = Field(min_length=1, max_length=10_000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    tools: list[Any] | None = Field(None, max_length=0, description="None: executors have tools of their own")
    functions: list[Any] | None = Field(None, max_length=0)
    logprobs: Literal[False] | None = None
    response_format: dict[str, JsonValue] | None = None
    modalities: list[Literal["text"]] | None = None

    @model_validator(mode="after")
    def _plain(self) -> "CompletionCreate":
        if self.response_format is not None and self.response_format.get("type") != "text":
            raise ValueError("only text is answered here: leave response_format out")
        return self

    @property
    def turns(self) -> list[Turn]:
        return [turn for said in self.messages if (turn := said.turn()) is not None]

    @property
    def chosen_model(self) -> str | None:
        return None if self.model in OURS else self.model


class Answer:
    """The text of a run's answer, piece by piece. What was sent cannot be taken back, so an attempt that was abandoned
    stays, and the answer itself follows behind an empty line."""

    def __init__(self) -> None:
        self._step: str | None = None
        self._call: tuple[str, int] | None = None
        self._text = ""
        self._sent = False

    def on(self, event: ClientEvent) -> str:
        """What is to be sent for the event."""
        match event.type:
            case "plan.created":
                self._step = _last_step(event.data["plan"])
                return ""
            case "token.delta" if event.data["step_id"] == self._step:
                return self._piece(event)
            case "run.completed":
                return self._rest(cast(str, event.data["output"]))
            case _:
                return ""

    def _piece(self, event: ClientEvent) -> str:
        call = (cast(str, event.data["call_id"]), cast(int, event.data["attempt"]))
        between = ""
        if call != self._call:
            self._call, self._text = call, ""
            between = "\n\n" if self._sent else ""
        text = cast(str, event.data["text"])
        if event.data["start"] != len(self._text):
            return ""  # a piece is missing: the rest comes with the end
        self._text += text
        self._sent = True
        return between + text

    def _rest(self, output: str) -> str:
        if output.startswith(self._text):
            return output[len(self._text) :]
        return f"\n\n{output}"


def problem_of(event: ClientEvent) -> Problem | None:
    """What a run that gives no answer means to a caller who waits for one; None while it may."""
    match event.type:
        case "run.failed":
            return Unavailable(f"The run failed ({event.data['reason']}): {event.data['error']}")
        case "run.cancelled":
            return Conflict("The run was cancelled.")
        case "run.suspended" if event.data["reason"] in WORDLESS:
            return Conflict(f"The run waits for a person ({event.data['reason']}): see /v1/runs/{event.run_id}.")
        case _:
            return None


def usage_of(event: ClientEvent) -> dict[str, JsonValue]:
    """The tokens of a completed run as OpenAI counts them."""
    used = cast(dict[str, int], event.data["usage"])
    asked, answered = used["input_tokens"], used["output_tokens"]
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def refuse_empty(turns: Sequence[Turn]) -> None:
    if not turns:
        raise Invalid.field("#/messages", "the messages say nothing")


def _last_step(plan: JsonValue) -> str | None:
    """The one step on which no other builds: its words are the answer. None when there are several."""
    steps = cast(dict[str, list[dict[str, Any]]], plan or {"steps": []})["steps"]
    built_on = {name for step in steps for name in step["depends_on"]}
    last = [cast(str, step["step_id"]) for step in steps if step["step_id"] not in built_on]
    return last[0] if len(last) == 1 else None
