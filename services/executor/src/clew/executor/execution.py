"""What state a run is in and what follows from it. Pure: the events of a run in, decisions out.

Nothing here runs an agent, waits, or writes to the log; `supervisor` does what is decided here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    CallCompleted,
    CallFailed,
    CallStarted,
    FailReason,
    InboxRead,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    StepCompleted,
    StepFailed,
    StepRetried,
    StepStarted,
    SuspendReason,
)
from clew.contracts.planning import Plan, Step
from clew.contracts.usage import Usage

FIRST_SEQ = 2  # 0 is the message and 1 the plan: the executor's own events come after them
MAX_BACKOFF = timedelta(minutes=5)  # a person is waiting: longer than this is as good as never

StepStatus: TypeAlias = Literal["waiting", "running", "retrying", "completed", "skipped", "failed"]
SETTLED: frozenset[StepStatus] = frozenset({"completed", "skipped", "failed"})


@dataclass(frozen=True, slots=True)
class StepState:
    """How far one step is. `attempt` is the one under way or the last one; 0 before the first."""

    status: StepStatus = "waiting"
    attempt: int = 0
    output: str = ""
    error: str = ""
    untrusted: bool = False
    wake_at: datetime | None = None
    model_failed: bool = False

    @property
    def settled(self) -> bool:
        return self.status in SETTLED


_WAITING = StepState()
_NOTHING_USED = Usage()


@dataclass(slots=True)
class RunState:
    """What the events of a run say. `last_seq` is the highest number taken; 1 before the executor's first.

    `interrupted` counts the take-overs since the run last came further; `requests` the model requests that were begun,
    here and in child runs; `active` is how long it was under way before `active_since`. It grows in place, or a run of
    a thousand calls copied itself as often. `told_untrusted`: bytes from outside are in what every step is told.
    """

    last_seq: int = FIRST_SEQ - 1
    started: bool = False
    resumptions: int = 0
    interrupted: int = 0
    steps: dict[str, StepState] = field(default_factory=dict[str, StepState])
    usage: Usage = _NOTHING_USED
    requests: int = 0
    ended: bool = False
    suspended: RunSuspended | None = None
    active: timedelta = timedelta(0)
    active_since: datetime | None = None
    told_untrusted: bool = False

    def step(self, step_id: str) -> StepState:
        return self.steps.get(step_id, _WAITING)

    def taint(self, step_id: str) -> None:
        """Bytes from outside came into a step, be it in the words in which a call failed: its end will say so."""
        self.steps[step_id] = replace(self.step(step_id), untrusted=True)


@dataclass(frozen=True, slots=True)
class Completes:
    """Every step is over and there is an answer."""

    output: str


@dataclass(frozen=True, slots=True)
class Fails:
    """A step failed for good, or nothing is left that could answer."""

    reason: FailReason
    error: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The step is to be tried again, not before `wake_at`."""

    wake_at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step is over without a result. `skipped`: the run goes on without it."""

    skipped: bool


@dataclass(frozen=True, slots=True)
class Suspends:
    """Nothing in the run can proceed."""

    reason: SuspendReason
    detail: str | None = None
    wake_at: datetime | None = None


Outcome: TypeAlias = Completes | Fails


def evolve(state: RunState, event: RunEvent) -> None:
    """Takes `event` into `state`. One whose number was already taken changes nothing: the first one counts."""
    if event.seq <= state.last_seq:
        return
    state.last_seq = event.seq
    if (take := _FOLD.get(type(event))) is not None:
        take(state, event)


def _started(state: RunState, event: RunStarted) -> None:
    state.started = True
    state.active_since = event.occurred_at


def _resumed(state: RunState, event: RunResumed) -> None:
    state.resumptions += 1
    state.interrupted = state.interrupted + 1 if event.cause == "takeover" else 0
    if state.suspended is not None or state.active_since is None:
        state.active_since = event.occurred_at
    state.suspended = None


def _suspended(state: RunState, event: RunSuspended) -> None:
    state.suspended = event
    state.active = active(state, event.occurred_at)
    state.active_since = None


def _ended(state: RunState, event: RunEvent) -> None:
    state.ended = True


def _heard(state: RunState, event: InboxRead) -> None:
    state.interrupted = 0


def _call_started(state: RunState, event: CallStarted) -> None:
    if event.kind == "model":
        state.requests += 1


def _call_completed(state: RunState, event: CallCompleted) -> None:
    state.interrupted = 0
    if event.usage is not None:
        state.usage += event.usage
        if event.kind == "tool":
            state.requests += event.usage.requests
    before = state.step(event.step_id)
    if before.model_failed or (event.untrusted and not before.untrusted):
        untrusted = before.untrusted or event.untrusted
        state.steps[event.step_id] = replace(before, model_failed=False, untrusted=untrusted)


def _call_failed(state: RunState, event: CallFailed) -> None:
    before = state.step(event.step_id)
    if before.model_failed != (event.kind == "model"):
        state.steps[event.step_id] = replace(before, model_failed=event.kind == "model")


def _evolve_step(state: RunState, event: StepStarted | StepRetried | StepCompleted | StepFailed) -> None:
    step = state.step(event.step_id)
    match event:
        case StepStarted():
            step = replace(step, status="running", attempt=event.attempt, wake_at=None, model_failed=False)
        case StepRetried():
            step = replace(step, status="retrying", attempt=event.attempt, error=event.error, wake_at=event.wake_at)
        case StepCompleted():
            step = replace(step, status="completed", output=event.output, untrusted=event.untrusted, error="")
        case StepFailed():
            step = replace(step, status="skipped" if event.skipped else "failed", error=event.error)
            step = replace(step, untrusted=step.untrusted or event.untrusted)
    state.steps[event.step_id] = step
    if not isinstance(event, StepStarted):
        state.interrupted = 0


_FOLD: Final[dict[type[RunEvent], Callable[[RunState, Any], None]]] = {  # Any: each takes the type it stands under
    RunStarted: _started,
    RunResumed: _resumed,
    RunSuspended: _suspended,
    RunCompleted: _ended,
    RunFailed: _ended,
    RunCancelled: _ended,
    InboxRead: _heard,
    CallStarted: _call_started,
    CallCompleted: _call_completed,
    CallFailed: _call_failed,
    StepStarted: _evolve_step,
    StepRetried: _evolve_step,
    StepCompleted: _evolve_step,
    StepFailed: _evolve_step,
}


def active(state: RunState, now: datetime) -> timedelta:
    """How long the run has been under way, without the time for which it was suspended."""
    if state.active_since is None:
        return state.active
    return state.active + max(now - state.active_since, timedelta(0))


def fold(events: Iterable[RunEvent]) -> RunState:
    """The state that a run's events say, in whatever order and however often they are given."""
    state = RunState()
    for event in in_order(events):
        evolve(state, event)
    return state


def in_order(events: Iterable[RunEvent]) -> list[RunEvent]:
    """The executor's own events of a run by number, the first of each number only."""
    first: dict[int, RunEvent] = {}
    for event in events:
        if event.seq >= FIRST_SEQ:
            first.setdefault(event.seq, event)
    return [first[seq] for seq in sorted(first)]


def gap(events: Sequence[RunEvent]) -> int | None:
    """The first number that is missing in events as `in_order` gives them; None when there is no gap."""
    return next((seq for seq, event in enumerate(events, FIRST_SEQ) if event.seq != seq), None)


def ready(plan: Plan, state: RunState) -> tuple[Step, ...]:
    """The steps that can run now: not over, and all they depend on is. Those under way are among them."""
    return tuple(
        step
        for step in plan.steps
        if not state.step(step.step_id).settled
        and all(state.step(dependency).status in ("completed", "skipped") for dependency in step.depends_on)
    )


def decide(plan: Plan, state: RunState) -> Outcome | None:
    """How the run ends, or None while something is left to do. The first failed step in the plan's order counts."""
    for step in plan.steps:
        if (now := state.step(step.step_id)).status == "failed":
            return Fails("model" if now.model_failed else "step", f"{step.title}: {now.error}")
    if not all(state.step(step.step_id).settled for step in plan.steps):
        return None
    return _answer(plan, state)


def _answer(plan: Plan, state: RunState) -> Outcome:
    """The answer is the output of the step that no other builds on; of several, the last one that came through."""
    used = {dependency for step in plan.steps for dependency in step.depends_on}
    sinks = [state.step(step.step_id) for step in plan.steps if step.step_id not in used]
    outputs = [sink.output for sink in sinks if sink.status == "completed"]
    if outputs:
        return Completes(outputs[-1])
    return Fails("step", f"no step came to an answer: {sinks[-1].error}")


def after_failure(step: Step, attempt: int, now: datetime) -> Retry | GiveUp:
    """What becomes of a step whose `attempt` has failed, as its policy says. The back-off doubles each time."""
    policy = step.on_failure
    if policy.action == "retry" and attempt < policy.attempts:
        return Retry(now + min(policy.backoff * 2 ** (attempt - 1), MAX_BACKOFF))
    return GiveUp(skipped=policy.action == "skip")


def tainted(step: Step, state: RunState) -> bool:
    """Whether bytes from outside went into the step: through what it was told or through its own calls."""
    return told_untrusted(step, state) or state.step(step.step_id).untrusted


def told_untrusted(step: Step, state: RunState) -> bool:
    """Whether bytes from outside are in what the step is told: the conversation, or the steps that it builds on."""
    return state.told_untrusted or any(state.step(step_id).untrusted for step_id in step.depends_on)
