"""Long-term memory of the person whom a run answers, as its tools reach it: written to the log, read from the views."""

from collections.abc import Sequence
from uuid import UUID

from clew.contracts.envelope import derive, stamp
from clew.contracts.memories import FactRemembered, FactSource
from clew.contracts.planning import PlanCreated
from clew.executor.journal import RunJournal
from clew.executor.tools import LongTermMemory
from clew.executor.tools.deps import Remembered
from clew.views.door import Views


class FactsOfUser:
    """What one run remembers, and recalls, about the user who sent its message (`tools.LongTermMemory`)."""

    def __init__(self, views: Views, plan: PlanCreated, user_id: str, journal: RunJournal) -> None:
        self._views = views
        self._plan = plan
        self._user_id = user_id
        self._journal = journal

    async def remember(self, text: str, key: str, untrusted: bool) -> None:
        """Returns once the log has it. Its ids hang on the call, so that a repeated call remembers nothing twice."""
        plan = self._plan
        event = FactRemembered(
            **stamp(plan, f"fact/{key}", self._journal.now()),
            user_id=self._user_id,
            fact_id=derive(UUID(key), "fact"),
            text=text.encode(errors="replace").decode(),
            remembered_by="agent",
            source=FactSource(thread_id=plan.thread_id, run_id=plan.run_id, event_id=plan.message_event_id),
            untrusted=untrusted,
        )
        await self._journal.beside(event)

    async def recall(self, query: str, limit: int) -> Sequence[Remembered]:
        """ViewsUnavailable when Postgres cannot be asked."""
        found = await self._views.tenant(self._plan.tenant_id).facts(self._user_id).search(query, limit)
        return [Remembered(fact.text, fact.untrusted) for fact in found]


class Facts:
    """Long-term memories of users, run by run."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def of(self, plan: PlanCreated, journal: RunJournal) -> LongTermMemory | None:
        """None when the plan does not say who sent the message."""
        return None if plan.sent_by is None else FactsOfUser(self._views, plan, plan.sent_by, journal)
