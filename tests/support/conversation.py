"""Builds the events of one conversation as the services write them, with ids that follow from names."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from clew.contracts.conversation import (
    OnBusy,
    ParentCall,
    RunSteered,
    TextPart,
    ThreadCreated,
    ThreadDeleted,
    UserMessageReceived,
)
from clew.contracts.envelope import ID_NAMESPACE, Position, Stamp, derive, root_stamp, stamp
from clew.contracts.execution import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    SteerMissed,
    SuspendReason,
)
from clew.contracts.planning import Plan, PlanCreated, PlanFailed, PlanFailure, Step
from clew.contracts.usage import Budget, Usage

MOMENT = datetime(2026, 11, 21, 12, tzinfo=UTC)
A_PLAN = Plan(
    steps=(Step(step_id="respond", kind="respond", title="Answer", instructions="Answer it.", agent="assistant"),)
)


@dataclass(frozen=True)
class Conversation:
    """One thread of one tenant. Runs and messages are named by short texts, such as `m1`."""

    name: str = "thread"
    tenant_id: str = "acme"

    @property
    def thread_id(self) -> UUID:
        return derive(ID_NAMESPACE, "thread", self.name)

    def run_id(self, run: str) -> UUID:
        return derive(self.thread_id, "run", run)

    def created(self) -> ThreadCreated:
        return ThreadCreated(**self._stamp("created"), thread_id=self.thread_id, created_by="ada")

    def deleted(self) -> ThreadDeleted:
        return ThreadDeleted(**self._stamp("deleted"), thread_id=self.thread_id, deleted_by="ada")

    def message(
        self,
        run: str,
        text: str = "hello",
        *,
        on_busy: OnBusy = "enqueue",
        parent: str | None = None,
        model: str | None = None,
        parent_call: ParentCall | None = None,
        budget: Budget | None = None,
    ) -> UserMessageReceived:
        return UserMessageReceived(
            **self._stamp(f"{run}/0"),
            **self._place(run, 0),
            message_id=derive(self.run_id(run), "message"),
            content=(TextPart(text=text),),
            sent_by="ada",
            on_busy=on_busy,
            parent_run_id=self.run_id(parent) if parent else None,
            model=model,
            parent_call=parent_call,
            budget=budget,
        )

    def steered(self, run: str, into: str) -> RunSteered:
        """As the planner writes it about the message of `run`."""
        message = self.message(run)
        return RunSteered(
            **stamp(message, f"steer/{self.run_id(into)}", MOMENT),
            thread_id=self.thread_id,
            run_id=self.run_id(into),
            content=message.content,
            sent_by=message.sent_by,
            message_run_id=message.run_id,
        )

    def steer_missed(self, run: str, by: str) -> SteerMissed:
        signal = self.steered(run, by)
        return SteerMissed(
            **stamp(signal, "missed", MOMENT),
            thread_id=self.thread_id,
            run_id=self.run_id(by),
            signal_id=signal.event_id,
            message_run_id=self.run_id(run),
        )

    def planned(self, run: str, *, parent: str | None = None) -> PlanCreated:
        return PlanCreated(
            **self._stamp(f"{run}/1"),
            **self._place(run, 1),
            message_event_id=derive(self.thread_id, f"{run}/0"),
            content=(TextPart(text=run),),
            parent_run_id=self.run_id(parent) if parent else None,
            actionable=False,
            plan=A_PLAN,
        )

    def plan_failed(self, run: str, reason: PlanFailure = "model") -> PlanFailed:
        place = self._place(run, 1)
        message = derive(self.thread_id, f"{run}/0")
        return PlanFailed(
            **self._stamp(f"{run}/1"), **place, message_event_id=message, reason=reason, detail="It failed."
        )

    def started(self, run: str, seq: int = 2, *, forked_from: str | None = None) -> RunStarted:
        fork = self.run_id(forked_from) if forked_from else None
        return RunStarted(
            **self._stamp(f"{run}/{seq}"),
            **self._place(run, seq),
            model="offline",
            code_version="1",
            forked_from=fork,
            after_seq=2 if fork else None,
        )

    def suspended(self, run: str, seq: int = 3, *, reason: SuspendReason = "approval") -> RunSuspended:
        return RunSuspended(**self._stamp(f"{run}/{seq}"), **self._place(run, seq), reason=reason)

    def resumed(self, run: str, seq: int = 4) -> RunResumed:
        return RunResumed(**self._stamp(f"{run}/{seq}"), **self._place(run, seq), cause="signal", attempt=1)

    def completed(self, run: str, seq: int = 9) -> RunCompleted:
        return RunCompleted(**self._stamp(f"{run}/{seq}"), **self._place(run, seq), output="Done.", usage=Usage())

    def failed(self, run: str, seq: int = 9) -> RunFailed:
        return RunFailed(**self._stamp(f"{run}/{seq}"), **self._place(run, seq), reason="step", error="It broke.")

    def cancelled(self, run: str, seq: int = 9, *, steered_into: str | None = None) -> RunCancelled:
        into = self.run_id(steered_into) if steered_into else None
        return RunCancelled(**self._stamp(f"{run}/{seq}"), **self._place(run, seq), steered_into=into)

    def _stamp(self, name: str) -> Stamp:
        return root_stamp(derive(self.thread_id, name), self.tenant_id, MOMENT)

    def _place(self, run: str, seq: int) -> dict[str, Any]:
        return {"thread_id": self.thread_id, "run_id": self.run_id(run), "seq": seq}


def at(offset: int, topic: str = "user-messages", partition: int = 0) -> Position:
    return Position(topic=topic, partition=partition, offset=offset)
