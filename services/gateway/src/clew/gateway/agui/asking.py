"""What an AG-UI client asks: its ids as ours, its messages as one of ours, its answers to interrupts as decisions.

AG-UI clients choose the ids of threads and runs. Each becomes one derived from tenant, caller and the id chosen, the
same on every replica, so nothing is stored for it; an id of a thread that is already here means that thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

from ag_ui.core import AssistantMessage, Message, ResumeEntry, RunAgentInput, TextPart, UserMessage
from pydantic import BaseModel, ConfigDict, JsonValue, StrictBool, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from clew.contracts.envelope import derive
from clew.gateway import commands, steering
from clew.gateway.auth import Principal
from clew.gateway.carried import Turn, message_of
from clew.gateway.commands import Asked
from clew.gateway.deps import Deps
from clew.gateway.errors import Invalid, NotFound, invalid
from clew.gateway.schemas import MessageCreate, ThreadCreate
from clew.gateway.steering_schemas import ApprovalCreate
from clew.views.models import Run

ROUTE = "POST /v1/agui"
_input: TypeAdapter[RunAgentInput] = TypeAdapter(RunAgentInput)


class Decision(BaseModel):
    """The payload that resolves an interrupt, as its `responseSchema` says."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    approved: StrictBool
    edited_args: dict[str, JsonValue] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person decided about a call."""

    run_id: UUID
    call_id: UUID
    decision: Decision


def read(tree: Any) -> RunAgentInput:
    """The input in a request's body. Invalid, with the fields named, when it is none that can be served here."""
    try:
        asked = _input.validate_python(tree)
    except ValidationError as error:
        raise invalid([(("body", *fault["loc"]), fault["msg"]) for fault in error.errors()], tree) from None
    for name in ("thread_id", "run_id"):
        if not 0 < len(cast(str, getattr(asked, name))) <= 255:
            raise Invalid.field(f"#/{to_camel(name)}", "1 to 255 characters")
    if asked.tools:
        raise Invalid.field("#/tools", "tools of the client are not called here: executors have tools of their own")
    return asked


def thread_ask(deps: Deps, caller: Principal, thread_id: str) -> Asked:
    """The request that makes the thread of this name."""
    return commands.asked(deps, caller, f"{ROUTE}/threads", thread_id, ThreadCreate())


def run_ask(deps: Deps, caller: Principal, thread: UUID, run_id: str, body: BaseModel) -> Asked:
    """The request that begins the run of this name."""
    return commands.asked(deps, caller, f"{ROUTE}/{thread}", run_id, body)


async def thread_of(deps: Deps, caller: Principal, thread_id: str) -> tuple[UUID, bool]:
    """Our id of the thread, and whether the views know it."""
    views = deps.views.tenant(caller.tenant_id)
    for candidate in _candidates(thread_id, thread_ask(deps, caller, thread_id).id("thread")):
        if await views.thread(candidate) is not None:
            return candidate, True
    return thread_ask(deps, caller, thread_id).id("thread"), False


async def run_of(deps: Deps, caller: Principal, thread: UUID, run_id: str) -> Run:
    """The run of that name in the thread. NotFound when the views have none."""
    views = deps.views.tenant(caller.tenant_id)
    for candidate in _candidates(run_id, run_ask(deps, caller, thread, run_id, ThreadCreate()).id("run")):
        run = await views.run(candidate)
        if run is not None and run.thread_id == thread:
            return run
    raise NotFound("There is no such run in this thread.")


def message(asked: RunAgentInput, *, known_thread: bool) -> MessageCreate:
    """The message that the client's conversation ends with. Invalid for what cannot be said here."""
    turns = [turn for index, said in enumerate(asked.messages) if (turn := _turn(index, said)) is not None]
    context = [f"{one.description}: {one.value}" for one in asked.context or []]
    told = [Turn("system", "\n".join(context))] if context else []
    return message_of([*turns[:-1], *told, *turns[-1:]], known_thread=known_thread)


def answers(resume: Sequence[ResumeEntry]) -> list[Answer]:
    """The decisions in `resume`, all about one run. Invalid, with the entry named, for what is none."""
    found = [_answer(index, entry) for index, entry in enumerate(resume)]
    if len({answer.run_id for answer in found}) != 1:
        raise Invalid.field("#/resume", "the interrupts of one run are answered together")
    return found


async def decide(deps: Deps, ask: Asked, run: Run, answer: Answer) -> None:
    """Writes a decision into the log. Errors as for `steering.decide`."""
    said = answer.decision
    kind = "deny" if not said.approved else "approve" if said.edited_args is None else "edit"
    edited = {"arguments": said.edited_args} if kind == "edit" else {}
    body = ApprovalCreate(decision=kind, note=said.reason or None, **edited)
    await steering.decide(deps, replace(ask, root=derive(ask.root, answer.call_id)), run.id, answer.call_id, body)


def _candidates(name: str, derived: UUID) -> list[UUID]:
    """The id itself, when it is one of ours, and the one that is derived from it."""
    try:
        return [UUID(name), derived]
    except ValueError:
        return [derived]


def _turn(index: int, said: Message) -> Turn | None:
    if isinstance(said, UserMessage) and not isinstance(said.content, str):
        texts = [part.text for part in said.content if isinstance(part, TextPart)]
        if len(texts) != len(said.content):
            raise Invalid.field(f"#/messages/{index}/content", "only text is taken here")
        return Turn("user", "".join(texts))
    if isinstance(said, AssistantMessage) and not said.content:
        return None  # only tool calls, which belong to a run
    content = getattr(said, "content", None)
    return Turn(said.role, content) if isinstance(content, str) and said.role not in ("tool", "reasoning") else None


def _answer(index: int, entry: ResumeEntry) -> Answer:
    run_id, _, call_id = entry.interrupt_id.partition(":")
    try:
        ids = UUID(run_id), UUID(call_id)
    except ValueError:
        raise Invalid.field(f"#/resume/{index}/interruptId", "no interrupt of this name was given out") from None
    if entry.status == "cancelled":
        return Answer(*ids, Decision(approved=False, reason="Cancelled by the user."))
    try:
        return Answer(*ids, Decision.model_validate(entry.payload))
    except ValidationError as error:
        faults = "; ".join(fault["msg"] for fault in error.errors())
        raise Invalid.field(f"#/resume/{index}/payload", f"not what responseSchema asks for: {faults}") from None
