"""What the journal of a run says of its calls, questions and child runs, looked up by the run itself. A fold."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import (
    CallCompleted,
    CallEvent,
    CallFailed,
    CallInDoubt,
    CallStarted,
    HistorySummarised,
    ThreadTitled,
)
from clew.executor.calls import Call, Done, Recorded, tool_error
from clew.executor.children import Children
from clew.executor.execution import FIRST_SEQ
from clew.executor.inbox import Inbox
from clew.executor.model_requests import texts_in


class Record:
    """Calls by id and by key. Calls by key are those of earlier executions only, which `close_past` ends."""

    def __init__(self, now: datetime) -> None:
        self.started_at = now
        self.texts: set[str] = set()
        self.done: dict[UUID, Done] = {}
        self.attempts: dict[UUID, int] = {}
        self.abandoned: set[tuple[UUID, int]] = set()
        self.inbox = Inbox()
        self.children = Children()
        self.summaries: list[HistorySummarised] = []
        self.titled = False
        self._paths: dict[str, dict[str, Recorded]] = {}
        self._in_past = True

    def close_past(self) -> None:
        """All taken from here on is of this execution."""
        self._in_past = False

    def under(self, path: str) -> Mapping[str, Recorded]:
        """The calls of earlier executions whose key begins with `path`, by key."""
        calls = self._paths.get(path.partition("/")[0], {})
        return {key: call for key, call in calls.items() if key.startswith(f"{path}/")}

    def knows(self, call_key: str) -> bool:
        """Whether an earlier execution began this call."""
        return call_key in self._paths.get(call_key.partition("/")[0], {})

    def take(self, event: RunEvent) -> None:
        """Takes in the run's next event."""
        if event.seq == FIRST_SEQ:
            self.started_at = event.occurred_at
        if isinstance(event, CallEvent):
            self._take_call(event)
        elif isinstance(event, HistorySummarised):
            self.summaries.append(event)
        elif isinstance(event, ThreadTitled):
            self.titled = True
        else:
            self.inbox.take(event)

    def _take_call(self, event: CallEvent) -> None:
        done: Done | None = None
        if isinstance(event, CallInDoubt):
            return
        self.attempts[event.call_id] = max(self.attempts.get(event.call_id, 0), event.attempt)
        match event:
            case CallStarted():
                if event.kind == "model":
                    self.texts |= texts_in(event.request)
                else:
                    self.inbox.take(event)
            case CallCompleted():
                done = Done(result=event.result, untrusted=event.untrusted)
            case CallFailed(kind="tool"):
                done = Done(error=tool_error(event.error_type, event.error))
            case CallFailed():
                self.abandoned.add((event.call_id, event.attempt))
            case _:
                pass
        if done is not None:
            self.done.setdefault(event.call_id, done)
        if event.kind == "tool":
            self.children.take(event)
        if self._in_past:
            self._remember(event, done)

    def _remember(self, event: CallEvent, done: Done | None) -> None:
        calls = self._paths.setdefault(event.call_key.partition("/")[0], {})
        before = calls.get(event.call_key)
        started = isinstance(event, CallStarted)
        calls[event.call_key] = Recorded(
            call=Call(
                call_id=event.call_id,
                key=event.call_key,
                step_id=event.step_id,
                kind=event.kind,
                name=event.name,
                attempt=event.attempt,
                policy=event.policy if started else before.call.policy if before else None,
            ),
            request=_request(event) or (before.request if before else None),
            done=(before.done if before else None) or done,
        )


def _request(event: CallEvent) -> JsonValue:
    return event.request if isinstance(event, CallStarted | CallCompleted | CallFailed) else None
