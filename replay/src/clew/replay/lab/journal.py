"""The journal of a run that is carried out for trial: kept in memory, and answered from a record where that can be.

The engine and the supervisor take it for the real one. Nothing of it reaches the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Literal
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.conversation import ContentPart, ForkChanges
from clew.contracts.envelope import Event, JsonObject, Position, RunEvent
from clew.contracts.execution import CallCompleted, CallFailed, CallStarted, StepRetried
from clew.contracts.planning import PlanCreated
from clew.executor.calls import BudgetExceeded, Call, Decided, Done
from clew.executor.journal import RunJournal
from clew.executor.model_policy import ModelBroke
from clew.executor.origin import Link, Origin
from clew.executor.record import Record
from clew.executor.writer import RunStamp
from clew.replay.lab.answers import Answer, Answers, not_recorded


class Kept:
    """A partition that is nowhere but here (`owned.Owned`)."""

    partition = 0
    lost = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def send(self, event: Event) -> Awaitable[Position]:
        self.events.append(event)
        sent: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        sent.set_result(Position(topic="trial", partition=0, offset=len(self.events)))
        return sent

    async def valid(self, position: Position) -> None:
        """What is kept here is valid."""

    async def may_begin(self) -> None:
        """Nobody else owns it."""


class Allowance:
    """How many real model requests may still be made, over all runs of a trial."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.made = 0

    def take(self) -> None:
        """BudgetExceeded when there is none left."""
        if self.made >= self.most:
            what = f"more than the {self.most} real model requests that it may take" if self.most else "a real answer"
            raise BudgetExceeded(f"the changed run needs {what} of a model")
        self.made += 1


class TrialJournal(RunJournal):
    """`misses` are tool calls that the record has no answer to, `reused` counts those it has; `borrowed` are the
    answers that tools were given from it, by call id."""

    def __init__(
        self,
        plan: PlanCreated,
        events: Sequence[RunEvent],
        allowance: Allowance,
        instructions: str | None,
        allowed: frozenset[str],
    ) -> None:
        self._begin = events[0].occurred_at
        self._monotonic = monotonic()
        self._wakes: list[datetime] = []
        origin = Origin(plan.run_id, [Link(plan.run_id, events, 1, ForkChanges(instructions=instructions))])
        self.kept = Kept()
        super().__init__(plan, self.kept, self._clock, (), origin)
        self.past = Record(self._begin)
        for event in events:
            self.past.take(event)
        self.record.started_at = self.past.started_at
        self.record.summaries = self.past.summaries
        self.record.titled = True
        self.answers = Answers(events)
        self.misses: list[str] = []
        self.reused = 0
        self.borrowed: dict[UUID, Answer] = {}
        self._allowance = allowance
        self._allowed = allowed
        self._left: set[str] = set()

    def _clock(self) -> datetime:
        """The time of the record, going on as time goes on here; no wait between attempts is waited for."""
        return max([self._begin + timedelta(seconds=monotonic() - self._monotonic), *self._wakes])

    async def asked(self, call: Call, request: JsonValue) -> None:
        """Takes a model's answer from the record while the agent does what it did then."""
        place = call.key.rpartition("/model/")[0]
        if call.kind != "model" or self.done(call.call_id) is not None:
            return
        answer = None if place in self._left else self.answers.model(call, request)
        if answer is None:
            self._left.add(place)
            return
        if isinstance(answer, CallFailed):
            raise ModelBroke(f"{answer.error_type}: {answer.error}")
        about = {name: getattr(answer, name) for name in ("call_key", "step_id", "kind", "name")}
        about |= {"call_id": call.call_id, "attempt": 1}
        said = {"result": answer.result, "usage": answer.usage, "duration_ms": answer.duration_ms}
        await self.append(lambda s: CallStarted.model_validate({**s, **about, "request": request}))
        await self.append(lambda s: CallCompleted.model_validate({**s, **about, **said}))
        self.reused += 1

    def instead(self, call: Call, arguments: JsonValue, effects: bool) -> Done | None:
        if (answer := self.answers.tool(call, arguments)) is not None:
            self.reused += 1
            self.borrowed[call.call_id] = answer
            return answer.done
        if call.name in self._allowed:
            return None
        self.misses.append(call.name)
        return not_recorded(call.name)

    async def started(self, call: Call, request: JsonValue) -> None:
        if call.kind == "model":
            self._allowance.take()
        await super().started(call, request)

    async def decide(
        self, call: Call, arguments: JsonObject, reason: str, about: Literal["approval", "in_doubt"]
    ) -> Decided:
        """What a person said then to the same question; else yes, because the call is answered and not made."""
        question = self.past.inbox.questions.get(self.past.inbox.key(call.call_id, about))
        if question is not None and question.answer is not None and question.asked.arguments == arguments:
            return question.answer
        return Decided("deny" if call.name in self._allowed else "approve")

    async def heard(self, call_key: str) -> Sequence[tuple[ContentPart, ...]]:
        return [steer.content for steer in self.past.inbox.read.get(call_key, ())]

    async def append(self, build: Callable[[RunStamp], RunEvent], *, lingers: bool = False) -> None:
        def built(stamp: RunStamp) -> RunEvent:
            event = build(stamp)
            if isinstance(event, StepRetried):
                self._wakes.append(event.wake_at)
            return event

        await super().append(built, lingers=lingers)
