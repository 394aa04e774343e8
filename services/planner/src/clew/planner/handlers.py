"""The planner's handlers: each takes in an event, then carries out whatever is to be done about its thread.

What is to be done is decided in `planning`; how a plan comes about is `agents`. The ids of what is yielded hang on the
message that it is about, whichever event set it off, so that every delivery and every process repeats the same ids.
"""

from collections.abc import AsyncIterator
from typing import TypeAlias, assert_never

from clew.chassis.clock import Clock
from clew.chassis.context import Context
from clew.contracts.conversation import (
    ContentPart,
    DocumentPart,
    RunCancelRequested,
    RunSteered,
    ThreadChanged,
    ThreadCreated,
    ThreadDeleted,
    UserMessageReceived,
    text_of,
)
from clew.contracts.envelope import stamp
from clew.contracts.execution import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    SteerMissed,
)
from clew.contracts.planning import PlanCreated, PlanFailed, PlanFailure
from clew.planner.agents import ModelUnusable, PlanMaker, PlanningFailed, Question
from clew.planner.capabilities import Announcements
from clew.planner.facts import Facts
from clew.planner.past import Past
from clew.planner.planning import Cancel, Decision, Effect, MakePlan, Refuse, Steer
from clew.planner.thread import PlanningBegan, PlanningEnded
from clew.planner.threads import HeldThread, Threads

News: TypeAlias = (
    ThreadCreated
    | ThreadChanged
    | ThreadDeleted
    | UserMessageReceived
    | RunStarted
    | RunSuspended
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
    | SteerMissed
)


class Handlers:
    """One method for each event that the planner consumes."""

    def __init__(
        self, threads: Threads, past: Past, facts: Facts, plans: PlanMaker, announcements: Announcements
    ) -> None:
        self._threads = threads
        self._facts = facts
        self._past = past
        self._plans = plans
        self._announcements = announcements

    def on_thread_created(self, event: ThreadCreated, context: Context) -> AsyncIterator[Effect]:
        return self._take_in(event, context)

    def on_thread_changed(self, event: ThreadChanged, context: Context) -> AsyncIterator[Effect]:
        return self._take_in(event, context)

    def on_thread_deleted(self, event: ThreadDeleted, context: Context) -> AsyncIterator[Effect]:
        """What waits is refused, and what runs is cancelled."""
        return self._take_in(event, context)

    def on_user_message_received(self, event: UserMessageReceived, context: Context) -> AsyncIterator[Effect]:
        """The message is planned, refused, or waits for the run before it."""
        return self._take_in(event, context)

    def on_run_started(self, event: RunStarted, context: Context) -> AsyncIterator[Effect]:
        """It shows that the plan is in the log; and it is how the planner hears of a fork."""
        return self._take_in(event, context)

    def on_run_suspended(self, event: RunSuspended, context: Context) -> AsyncIterator[Effect]:
        """A run that waits for a person lets the next message pass."""
        return self._take_in(event, context)

    def on_run_resumed(self, event: RunResumed, context: Context) -> AsyncIterator[Effect]:
        return self._take_in(event, context)

    def on_run_completed(self, event: RunCompleted, context: Context) -> AsyncIterator[Effect]:
        """The next message of the branch has its turn."""
        return self._take_in(event, context)

    def on_run_failed(self, event: RunFailed, context: Context) -> AsyncIterator[Effect]:
        """The next message of the branch has its turn."""
        return self._take_in(event, context)

    def on_run_cancelled(self, event: RunCancelled, context: Context) -> AsyncIterator[Effect]:
        """The next message of the branch has its turn; if the run was still waiting, it is dropped."""
        return self._take_in(event, context)

    def on_steer_missed(self, event: SteerMissed, context: Context) -> AsyncIterator[Effect]:
        """The message came too late for the run that was to hear it: it is planned as a run of its own."""
        return self._take_in(event, context)

    async def _take_in(self, event: News, context: Context) -> AsyncIterator[Effect]:
        thread = self._threads.learn(event, context.position)
        if context.backlog:
            for effect in thread.given_away(event):
                yield effect
        await thread.complete(self._past)
        while (decision := thread.decide()) is not None:
            effect = await self._carry_out(decision, thread, context.now)
            if effect is not None:
                thread.learn(effect)
                thread.gave_away(event, effect)
                yield effect

    async def _carry_out(self, decision: Decision, thread: HeldThread, now: Clock) -> Effect | None:
        match decision:
            case MakePlan(message):
                thread.learn(PlanningBegan(message.run_id))
                try:
                    outcome = await self._plan(decision, now)
                finally:
                    thread.learn(PlanningEnded(message.run_id))
                return outcome if thread.still_wants(message.run_id) else None
            case Refuse(message, reason, detail):
                return _failed(message, reason, detail, now)
            case Cancel():
                return _cancel(decision, now)
            case Steer():
                return _steer(decision, now)
            case _:
                assert_never(decision)

    async def _plan(self, decision: MakePlan, now: Clock) -> PlanCreated | PlanFailed:
        message = decision.message
        known = await self._announcements.some()
        question = await self._question(decision)
        try:
            answer = await self._plans.make_plan(question, known)
        except ModelUnusable as error:
            return _failed(message, "invalid", str(error), now)
        except PlanningFailed as error:
            return _failed(message, "model", str(error), now)
        return PlanCreated(
            **stamp(message, 1, now()),
            thread_id=message.thread_id,
            run_id=message.run_id,
            seq=1,
            message_event_id=message.event_id,
            content=message.content,
            parent_run_id=decision.parent_run_id,
            actionable=answer.actionable,
            plan=answer.plan,
            model=message.model,
            exchanges=answer.exchanges,
            history_complete_at=decision.history_complete_at,
            parent_call=message.parent_call,
            budget=message.budget,
            sent_by=message.sent_by,
            facts=tuple(question.facts),
            untrusted=message.untrusted,
        )

    async def _question(self, decision: MakePlan) -> Question:
        message, parent = decision.message, decision.parent_run_id
        words, history = words_of(message.content), ()
        if parent is not None:
            history = await self._past.conversation(
                message.tenant_id, message.thread_id, parent, decision.history_complete_at
            )
        facts = await self._facts.that_fit(message.tenant_id, message.sent_by, words)
        return Question(words, history, message.model, facts)


def words_of(content: tuple[ContentPart, ...]) -> str:
    """A message as the model that plans reads it."""
    attached = [f"[attached document {part.document_id}]" for part in content if isinstance(part, DocumentPart)]
    return "\n".join([text_of(content), *attached]).strip()


def _failed(message: UserMessageReceived, reason: PlanFailure, detail: str, now: Clock) -> PlanFailed:
    return PlanFailed(
        **stamp(message, 1, now()),
        thread_id=message.thread_id,
        run_id=message.run_id,
        seq=1,
        message_event_id=message.event_id,
        reason=reason,
        detail=detail,
        parent_call=message.parent_call,
    )


def _steer(decision: Steer, now: Clock) -> RunSteered:
    message = decision.message
    return RunSteered(
        **stamp(message, f"steer/{decision.into}", now()),
        thread_id=message.thread_id,
        run_id=decision.into,
        content=message.content,
        sent_by=message.sent_by,
        message_run_id=message.run_id,
    )


def _cancel(decision: Cancel, now: Clock) -> RunCancelRequested:
    because = decision.because
    deleted = isinstance(because, ThreadDeleted)
    return RunCancelRequested(
        **stamp(because, f"cancel/{decision.run_id}", now()),
        thread_id=because.thread_id,
        run_id=decision.run_id,
        requested_by=because.deleted_by if deleted else because.sent_by,
        reason="The thread was deleted." if deleted else "A newer message takes its place.",
    )
