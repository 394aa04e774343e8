"""What was said before a run on its branch of the thread.

Reads views, and waits for them where the run has a past. It forms messages for a model and asks none.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from clew.contracts.conversation import ContentPart, DocumentPart
from clew.contracts.planning import PlanCreated
from clew.executor.recovery import until_available
from clew.executor.supervisor import RunError
from clew.views.door import Views
from clew.views.models import Message, Summary

ROUND = timedelta(seconds=5)  # how long one question to the views may wait
PATIENCE = timedelta(minutes=10)  # a run whose history is not there by then fails; memory is down or far behind
UNANSWERED = "(This message was not answered.)"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was `said` before a run on its path, oldest first, and the summaries that were made in its thread.

    What the newest summary of the path stands for may be left out. `untrusted`: bytes from outside are in what was
    said: in a message, in an answer, or in what the run was told that gave it. Summaries speak for themselves.
    """

    said: Sequence[Message] = ()
    summaries: Sequence[Summary] = ()
    untrusted: bool = False

    @property
    def first_run_id(self) -> UUID:
        """The root of the path, at which each summary of it begins."""
        path = {message.run_id for message in self.said}
        return next((made.first_run_id for made in self.summaries if made.run_id in path), self.said[0].run_id)


class Conversations:
    """Finds the conversation of a run."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def of(self, plan: PlanCreated) -> Conversation:
        """The conversation that a plan is about. RunError when its history did not come in time."""
        if plan.parent_run_id is None:
            return Conversation()
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self._until_complete(plan)
                return Conversation(*await self._past(plan))
        except TimeoutError:
            detail = f"the conversation was not there within {PATIENCE.total_seconds() / 60:.0f} minutes"
            raise RunError("timeout", detail) from None

    async def _until_complete(self, plan: PlanCreated) -> None:
        position, there = plan.history_complete_at, False
        while position is not None and not there:
            there = await until_available(lambda: self._views.passed(position, ROUND))

    async def _past(self, plan: PlanCreated) -> tuple[Sequence[Message], Sequence[Summary], bool]:
        tenant, parent = self._views.tenant(plan.tenant_id), plan.parent_run_id
        assert parent is not None  # who has none has no past
        made = await until_available(lambda: tenant.summaries(plan.thread_id))
        last = partial(_summarised, summaries=made)
        said = await until_available(lambda: tenant.newest_messages(plan.thread_id, parent, last))
        return said, made, await until_available(lambda: tenant.any_untrusted(said))


def _summarised(said: Sequence[Message], summaries: Sequence[Summary]) -> bool:
    """Whether what stands before these messages is told by a summary that was made on their path."""
    path = {message.run_id for message in said}
    ends = {message.run_id for message, after in pairwise(said) if after.role == "user"}
    return any(made.run_id in path and made.last_run_id in ends for made in summaries)


def written(content: Sequence[ContentPart]) -> str:
    """A message as one text; an attached document is named, and `search_documents` reads it."""
    return "\n".join(
        f"[attached document {part.document_id}]" if isinstance(part, DocumentPart) else part.text for part in content
    )


def as_history(said: Sequence[Message]) -> tuple[ModelMessage, ...]:
    """Messages as a model is given them: question and answer by turns, also where an answer is missing. It ends with
    an answer, so that the request never runs into an older message."""
    history: list[ModelMessage] = []
    for message in said:
        asked = bool(history) and isinstance(history[-1], ModelRequest)
        if message.role == "user":
            if asked:
                history.append(ModelResponse(parts=[TextPart(UNANSWERED)]))
            history.append(ModelRequest(parts=[UserPromptPart(written(message.content))]))
        else:
            history.append(ModelResponse(parts=[TextPart(message.text)]))
    if history and isinstance(history[-1], ModelRequest):
        history.append(ModelResponse(parts=[TextPart(UNANSWERED)]))
    return tuple(history)
