"""Where calls belong: the run that is executed, the agents in it, the key of each call, what the journal says of it.

A key is path / agent / kind / run step / place; the place of a tool call is its id, that of a model request is 0. This
is also where a journal and the code are found not to go together. Nothing here makes a call or waits.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote

from pydantic import JsonValue
from pydantic_ai.exceptions import AgentRunError, ToolFailed

from clew.contracts.envelope import derive
from clew.contracts.execution import CallKind, EffectPolicy
from clew.executor.calls import Call, Diverged, Done, Journal, Recorded
from clew.executor.model_policy import ModelBroke
from clew.executor.model_requests import RequestLog
from clew.executor.under_way import call_under_way, running

_LONGEST_PLACE = 200  # characters of a tool call's id that a key holds; a server may make them as long as it likes


@dataclass(slots=True)
class Execution:
    """One execution of what is journaled under `path`. `unused`: recorded calls that it has not come to yet.

    `broken` is what ended it: whoever caught that error on its way, nothing more is done. `has_untrusted`: bytes from
    outside came into an agent of it that is over; `untrusted`: they were in what it was given.
    """

    journal: Journal
    step_id: str
    path: str
    history: int
    untrusted: bool
    unused: dict[str, Recorded]
    entered: set[str] = field(default_factory=set[str])
    names: Counter[str] = field(default_factory=Counter[str])
    broken: BaseException | None = None
    has_untrusted: bool = False

    def check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def fatal(self) -> "_Fatal":
        """What goes wrong in here ends the execution: it is neither a model's failure nor a tool's."""
        return _Fatal(self)

    def check_used_up(self, path: str) -> None:
        """At the end of what lies under `path`, whatever the journal has there must have been asked for."""
        for key, recorded in self.unused.items():
            if key.startswith(path + "/"):
                raise Diverged(f"the journal holds {named(recorded)}, and this code came to its end without it")


class _Fatal:
    """A class and no generator: each call enters three of them."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __enter__(self) -> None:
        self._execution.check()

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ToolFailed | AgentRunError | ModelBroke):
            self._execution.broken = error


@dataclass(slots=True)
class Container:
    """What encloses agents: the execution itself, or a tool call that is none to the journal."""

    execution: Execution
    path: str
    owner: "AgentScope | None" = None
    step: int = 0


@dataclass(slots=True)
class AgentScope:
    """One agent run: how its calls are numbered, and whether its model has read untrusted content.

    `reads_untrusted` is as of its last model request: what comes in meanwhile is not known to the model yet. `fresh`:
    the journal had nothing of this agent run.
    """

    execution: Execution
    container: Container
    path: str
    requests: RequestLog
    has_untrusted: bool
    reads_untrusted: bool
    fresh: bool
    step: int = 0
    _ordinals: Counter[str] = field(default_factory=Counter[str])

    def next_call(self, kind: CallKind, name: str, place: str, policy: EffectPolicy | None = None) -> Call:
        """The call that comes next at a place. Model and streaming mode are no part of the key: they may change."""
        key = self.next_key(kind, place)
        journal = self.execution.journal
        call_id = derive(journal.run_id, key)
        return Call(call_id, key, self.execution.step_id, kind, name, journal.attempts(call_id) + 1, policy)

    def next_key(self, kind: CallKind, place: str) -> str:
        """The key of the call that comes next at a place."""
        base = f"{self.path}/{kind}/{place}"
        ordinal = self._ordinals[base]
        return base if ordinal == 0 else f"{base}#{ordinal}"

    def ask_model(self, name: str, step: int) -> Call:
        """The next model request. Diverged when others should have come first."""
        call = self._come_to("model", name, model_place(step))
        self._check_order(call.key, named_call(call), None)
        self.execution.unused.pop(call.key, None)
        self.step = step
        self.reads_untrusted = self.has_untrusted
        return call

    def call_tool(self, name: str, step: int, tool_call_id: str, policy: EffectPolicy, arguments: JsonValue) -> Call:
        """The next tool call. Diverged when it is another call there."""
        call = self._come_to("tool", name, tool_place(step, tool_call_id), policy)
        recorded = self.execution.unused.get(call.key)
        asked = f"{named_call(call)} with {arguments!r}"
        if recorded is None:
            self._check_order(call.key, asked, step)
        elif recorded.call.name != name or recorded.request not in (None, arguments):
            was = f"with {recorded.request!r}" if recorded.request is not None else ""
            raise Diverged(f"the journal holds {named(recorded)} {was}, and this code asks for {asked}")
        self.execution.unused.pop(call.key, None)
        return call

    def enclose(self, step: int, tool_call_id: str) -> tuple[Container, Done | None]:
        """A tool call that only encloses others, and its end if a person put one to it."""
        call = self._come_to("tool", "", tool_place(step, tool_call_id))
        self.execution.unused.pop(call.key, None)
        return Container(self.execution, call.key, self, step), self.execution.journal.done(call.call_id)

    def _come_to(self, kind: CallKind, name: str, place: str, policy: EffectPolicy | None = None) -> Call:
        call = self.next_call(kind, name, place, policy)
        self._ordinals[f"{self.path}/{kind}/{place}"] += 1
        return call

    def _check_order(self, key: str, asked: str, tools_of: int | None) -> None:
        """No recorded call may be left over that comes before this one; nor any at all where this one is not recorded.

        Other tool calls of the same answer may still come: `tools_of` is their step.
        """
        for other, recorded in self.execution.unused.items():
            if other == key:
                return
            if not self._may_come_later(other, tools_of):
                raise Diverged(f"the journal holds {named(recorded)}, and this code asks for {asked} instead")

    def _may_come_later(self, key: str, tools_of: int | None) -> bool:
        if key.startswith(self.path + "/"):
            return tools_of is not None and _tool_step(key, self.path) == tools_of
        if key.startswith(self.container.path + "/"):
            return self._beside(_agent_path(key, self.container.path))
        owner = self.container.owner
        return owner is not None and owner._may_come_later(key, self.container.step)

    def _beside(self, agent: str) -> bool:
        """Whether another agent of the container may still go on: of those that run side by side, the first to be
        entered is the first in the journal. So one that is new while another is there and not entered took its place.
        """
        return agent in self.execution.entered or not self.fresh

    def finish(self) -> None:
        """The agent has its output."""
        self.execution.check_used_up(self.path)

    def fail(self) -> None:
        """The agent ended with an error. Tool calls of its last answer may have been stopped by it."""
        for key, recorded in self.execution.unused.items():
            if key.startswith(self.path + "/") and _tool_step(key, self.path) != self.step:
                raise Diverged(f"the journal holds {named(recorded)}, and this code failed before it")


_container: ContextVar[Container | None] = ContextVar("clew_container", default=None)
_agent: ContextVar[AgentScope | None] = ContextVar("clew_agent", default=None)


def container_here() -> Container | None:
    """What encloses agents that are run here; None outside of durable runs, and inside of a call's body."""
    return None if call_under_way() is not None else _container.get()


def agent_here() -> AgentScope | None:
    """The agent run that the code here belongs to; None outside of durable ones, and inside of a call's body."""
    return None if call_under_way() is not None else _agent.get()


def reads_untrusted() -> bool:
    """Whether the model that asked for the running tool call had read bytes from outside. RuntimeError outside."""
    running()
    agent = _agent.get()
    return agent is not None and agent.reads_untrusted


@contextmanager
def within_container(container: Container) -> Generator[None]:
    token, agent = _container.set(container), _agent.set(None)
    try:
        yield
    finally:
        _agent.reset(agent)
        _container.reset(token)


@contextmanager
def within_agent(container: Container, name: str) -> Generator[AgentScope]:
    """An agent run in a container. The same agent run again there is another one: `name#1`."""
    execution = container.execution
    base = f"{container.path}/{quote(name, safe='')}"
    ordinal = execution.names[base]
    execution.names[base] += 1
    path = base if ordinal == 0 else f"{base}#{ordinal}"
    execution.entered.add(path)
    owner = container.owner
    untrusted = execution.untrusted if owner is None else owner.reads_untrusted
    history = execution.history if owner is None else 0
    requests = RequestLog(history, execution.journal.texts)
    fresh = not any(key.startswith(path + "/") for key in execution.unused)
    scope = AgentScope(execution, container, path, requests, untrusted, untrusted, fresh)
    token = _agent.set(scope)
    try:
        yield scope
    finally:
        _agent.reset(token)
        execution.has_untrusted |= scope.has_untrusted
        if owner is not None:  # also where the agent failed: its owner is told in which words
            owner.has_untrusted |= scope.has_untrusted


def model_place(step: int) -> str:
    return f"{step}/0"


def tool_place(step: int, tool_call_id: str) -> str:
    """The id as it may stand in a key: whatever a model made of it, it is one segment, and not a long one."""
    place = quote(tool_call_id, safe="", errors="replace")
    return f"{step}/{place if len(place) <= _LONGEST_PLACE else sha256(place.encode()).hexdigest()}"


def named(recorded: Recorded) -> str:
    return named_call(recorded.call)


def named_call(call: Call) -> str:
    return f"the {call.kind} call {call.name!r} ({call.key})"


def _tool_step(key: str, agent_path: str) -> int | None:
    """The run step of an agent's tool call, or of what lies inside of one. None for a model request."""
    kind, step, *_ = key[len(agent_path) + 1 :].split("/")
    return int(step) if kind == "tool" else None


def _agent_path(key: str, container_path: str) -> str:
    return f"{container_path}/{key[len(container_path) + 1 :].split('/')[0]}"
