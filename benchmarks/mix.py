"""A realistic mix of events: conversations of five runs, each planned, with two model requests and a tool call."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from clew.contracts.conversation import TextPart, ThreadCreated, UserMessageReceived
from clew.contracts.envelope import Event, RunEvent
from clew.contracts.execution import (
    CallCompleted,
    CallStarted,
    RunCompleted,
    RunStarted,
    StepCompleted,
    StepProgressed,
    StepStarted,
)
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.contracts.usage import Usage

BEGIN: Final = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUNS_PER_THREAD: Final = 5
SENTENCE: Final = "What a person asks, what a tool finds and what a model says is a sentence like this one, or a few. "
PLAN: Final = Plan(
    steps=(Step(step_id="answer", kind="respond", title="Answer", instructions=SENTENCE, agent="assistant"),)
)
USAGE: Final = Usage(requests=1, input_tokens=1200, output_tokens=180, cost_usd=0.0021)
E = TypeVar("E", bound=Event)


class Mix:
    """Makes the same events for the same `seed`; about 1,000 bytes each on the wire, headers included."""

    def __init__(self, seed: int = 1, begin: datetime = BEGIN) -> None:
        self._random = random.Random(seed)
        self._now = begin

    def threads(self, count: int) -> Iterator[list[Event]]:
        """Whole threads, one after the other."""
        for _ in range(count):
            yield list(self._thread())

    def _thread(self) -> Iterator[Event]:
        thread = self._id()
        yield self._event(ThreadCreated, thread_id=thread, created_by="ada")
        parent = None
        for _ in range(RUNS_PER_THREAD):
            run = self._id()
            yield from self._run(thread, run, parent)
            parent = run

    def _run(self, thread: UUID, run: UUID, parent: UUID | None) -> Iterator[RunEvent]:
        where = {"thread_id": thread, "run_id": run}
        content = (TextPart(text=SENTENCE),)
        asked = self._event(
            UserMessageReceived,
            **where,
            seq=0,
            message_id=self._id(),
            content=content,
            sent_by="ada",
            parent_run_id=parent,
        )
        yield asked
        yield self._event(
            PlanCreated,
            **where,
            seq=1,
            message_event_id=asked.event_id,
            content=content,
            parent_run_id=parent,
            actionable=True,
            plan=PLAN,
        )
        yield self._event(RunStarted, **where, seq=2, model="offline", code_version="1")
        yield self._event(StepStarted, **where, seq=3, step_id="answer", attempt=1)
        seq = 4
        for number, (kind, name) in enumerate((("model", "offline"), ("tool", "web_search"), ("model", "offline"))):
            yield from self._call(where, seq, f"answer/{number}", kind, name)
            seq += 2
        yield self._event(StepProgressed, **where, seq=seq, step_id="answer", message="Writing")
        yield self._event(StepCompleted, **where, seq=seq + 1, step_id="answer", output=SENTENCE * 4)
        yield self._event(RunCompleted, **where, seq=seq + 2, output=SENTENCE * 4, confidence=0.9, usage=USAGE)

    def _call(self, where: dict[str, UUID], seq: int, key: str, kind: str, name: str) -> Iterator[RunEvent]:
        call = {**where, "call_id": self._id(), "call_key": key, "step_id": "answer", "kind": kind, "name": name}
        model = kind == "model"
        request = {"messages": [{"role": "user", "content": SENTENCE * 3}]} if model else {"q": SENTENCE}
        yield self._event(CallStarted, **call, seq=seq, attempt=1, request=request)
        yield self._event(
            CallCompleted,
            **call,
            seq=seq + 1,
            attempt=1,
            result={"text": SENTENCE * 4},
            usage=USAGE if model else None,
            duration_ms=12.5,
        )

    def _event(self, event: type[E], /, **fields: Any) -> E:
        self._now += timedelta(milliseconds=1)
        event_id = self._id()
        return event(event_id=event_id, tenant_id="t1", occurred_at=self._now, correlation_id=event_id, **fields)

    def _id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)
