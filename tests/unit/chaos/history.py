"""A trial that never was, written down event by event: the second at which each was written is its place in time."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from clew.contracts.conversation import ApprovalDecided, Decision, RunCancelRequested, RunSteered, TextPart
from clew.contracts.envelope import Event, RunScoped, derive
from clew.contracts.execution import (
    ApprovalRequested,
    CallCompleted,
    CallStarted,
    EffectPolicy,
    InboxRead,
    SteerMissed,
)
from clew.contracts.topics import topic_of
from clew.ops.verify.facts import Logged, Row
from tests.chaos.facts import Facts, Sent
from tests.chaos.oracle.invariants import judge
from tests.chaos.script import Script, StepScript
from tests.support.conversation import Conversation
from tests.support.outside import Entry

TALK = Conversation()


def script(token: str) -> Script:
    return Script(token=token, steps=(StepScript(step_id="one", rounds=(("post",),)),))


@dataclass
class History:
    """Each write takes a second. Numbered events get the next number of their run from 2 on."""

    log: list[Logged] = field(default_factory=list[Logged])
    now: float = 100.0
    _seq: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def write(self, *events: Event, valid: bool = True) -> list[Logged]:
        written: list[Logged] = []
        for event in events:
            topic = topic_of(type(event)).name
            offset = sum(logged.topic == topic for logged in self.log)
            self.now += 1
            written.append(Logged(topic, 0, offset, self.now, event, valid))
            self.log.append(written[-1])
        return written

    def say(self, run: str, **more: Any) -> Sent:  # Any: what the message takes
        """The message of a run, with a script of its own."""
        self.write(TALK.message(run, script(run).text, **more))
        return Sent(run, TALK.run_id(run), TALK.thread_id)

    def plan(self, run: str) -> None:
        self.write(TALK.planned(run))

    def start(self, run: str) -> None:
        self.write(TALK.started(run, self.number(run)))

    def complete(self, run: str) -> None:
        self.write(TALK.completed(run, self.number(run)))

    def cancel(self, run: str) -> None:
        self.write(TALK.cancelled(run, self.number(run)))

    def wish(self, run: str) -> RunCancelRequested:
        """Somebody wants the run to stop."""
        event = RunCancelRequested(**self._scoped(run, "wish"), requested_by="ada")
        self.write(event)
        return event

    def begin_call(self, run: str, token: str, policy: EffectPolicy = "ask") -> CallStarted:
        event = CallStarted(**self._call(run, token, "tool"), request={"token": token}, policy=policy)
        self.write(event)
        return event

    def end_call(self, run: str, token: str) -> None:
        result: dict[str, Any] = {"kind": "tool_return", "result": f"{token} done"}
        self.write(CallCompleted(**self._call(run, token, "tool"), result=result, duration_ms=1))

    def ask(self, run: str) -> None:
        """A request to the model begins."""
        fields = self._call(run, "ask", "model")
        fields["occurred_at"] = datetime.fromtimestamp(self.now + 1, UTC)
        self.write(CallStarted(**fields, request={}))

    def answer(self, run: str, text: str = "yes") -> None:
        """The model answered."""
        self.write(CallCompleted(**self._call(run, text, "model"), result={"parts": []}, duration_ms=1))

    def doubt(self, call: CallStarted) -> None:
        """A person is asked about a call that may have happened."""
        about: dict[str, Any] = {
            "call_id": call.call_id,
            "step_id": "one",
            "tool": "post",
            "reason": "it was interrupted",
        }
        fields = self._numbered(call.subject, "doubt")
        self.write(ApprovalRequested(**fields, **about, arguments={}, about="in_doubt"))

    def decide(self, call: CallStarted, decision: Decision) -> ApprovalDecided:
        fields = self._scoped_id(call.run_id, f"decide/{self.now}")
        event = ApprovalDecided(**fields, call_id=call.call_id, decision=decision, decided_by="ada")
        self.write(event)
        return event

    def steer(self, run: str) -> RunSteered:
        """Somebody has a word for the run."""
        event = RunSteered(**self._scoped(run, "steer"), content=(TextPart(text="gently"),), sent_by="ada")
        self.write(event)
        return event

    def miss(self, steer: RunSteered) -> None:
        """The run had no ear for the word any more."""
        self.write(SteerMissed(**self._scoped_id(steer.run_id, "missed"), signal_id=steer.event_id))

    def hear(self, run: str, signal: RunScoped) -> None:
        self.write(InboxRead(**self._numbered(str(TALK.run_id(run)), "hear"), signal_ids=(signal.event_id,)))

    def number(self, run: str) -> int:
        return self._next(TALK.run_id(run))

    def facts(self, **more: Any) -> Facts:  # Any: the other fields of the facts
        return Facts(log=tuple(self.log), **more)

    def rows(self) -> list[Row]:
        """What honest views would hold of it."""
        rows = [(logged, logged.event) for logged in self.log if logged.counts and hasattr(logged.event, "seq")]
        return [Row(e.run_id, getattr(e, "seq", 0), e.event_id, x.place) for x, e in rows if isinstance(e, RunScoped)]

    def _next(self, run_id: UUID) -> int:
        self._seq[run_id] = self._seq.get(run_id, 1) + 1
        return self._seq[run_id]

    def _call(self, run: str, name: str, kind: str) -> dict[str, Any]:
        call_id = derive(TALK.run_id(run), name)
        about = {"call_id": call_id, "call_key": name, "step_id": "one", "kind": kind, "name": "it", "attempt": 1}
        return {**self._numbered(str(TALK.run_id(run)), f"{kind}/{name}"), **about}

    def _numbered(self, run_id: str | None, name: str) -> dict[str, Any]:
        run = UUID(run_id)
        seq = self._next(run)
        return {**self._scoped_id(run, f"{name}/{seq}"), "seq": seq}

    def _scoped(self, run: str, name: str) -> dict[str, Any]:
        return self._scoped_id(TALK.run_id(run), name)

    def _scoped_id(self, run_id: UUID, name: str) -> dict[str, Any]:
        base = TALK.created().model_dump()
        kept = {key: base[key] for key in ("tenant_id", "occurred_at", "correlation_id")}
        return {**kept, "event_id": derive(run_id, name), "thread_id": TALK.thread_id, "run_id": run_id}


def began(token: str, at: float, tool: str = "post") -> Entry:
    return Entry("begun", tool, token, "", 1, at)


def void(logged: Logged) -> Logged:
    return replace(logged, valid=False)


def a_good_trial() -> History:
    """Two messages of a thread, answered one after the other; each makes one call."""
    history = History()
    for run in ("m1", "m2"):
        history.say(run)
    for run in ("m1", "m2"):
        history.plan(run)
        history.start(run)
        history.answer(run)
        history.begin_call(run, f"{run}/one/0.0")
        history.end_call(run, f"{run}/one/0.0")
        history.complete(run)
    return history


def broken(facts: Facts) -> list[str]:
    """The invariants that do not hold."""
    return sorted({violation.invariant for violation in judge(facts)})


def facts_of(history: History, **more: object) -> Facts:
    return history.facts(**{"rows": history.rows(), **more})
