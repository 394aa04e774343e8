"""What was remembered about the sender of a message, as far as it fits the message.

A plan is better with it and right without it: so nobody waits for it longer than a moment.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from clew.contracts.memories import RecalledFact
from clew.planner.metrics import Metrics
from clew.views.database import ViewsUnavailable
from clew.views.door import Views

MOMENT: Final = timedelta(milliseconds=50)
MOST: Final = 8  # facts in a plan: more would only dilute the ones that fit
WORDS: Final = 1_000  # characters of the message that are searched with
log = logging.getLogger(__name__)


class Facts:
    """Finds facts. An async context manager; leaving it stops the questions that nobody waits for any more."""

    def __init__(self, views: Views, metrics: Metrics, moment: timedelta = MOMENT) -> None:
        self._views = views
        self._moment = moment
        self._asking: set[asyncio.Task[tuple[RecalledFact, ...]]] = set()
        self._metrics = metrics

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def that_fit(self, tenant_id: str, user_id: str, words: str) -> Sequence[RecalledFact]:
        """The facts about a user that fit the message, best first; none when they do not come at once.

        The question is left behind, not cancelled: taking one back from a hanging server takes seconds.
        """
        if not words:
            return ()
        task = asyncio.create_task(self._search(tenant_id, user_id, words[:WORDS]), name="facts for a plan")
        self._asking.add(task)
        task.add_done_callback(self._answered)
        done, _ = await asyncio.wait({task}, timeout=self._moment.total_seconds())
        if not done:
            return self._without("the views did not answer at once")
        try:
            return task.result()
        except ViewsUnavailable as error:
            return self._without(str(error))

    async def _search(self, tenant_id: str, user_id: str, words: str) -> tuple[RecalledFact, ...]:
        found = await self._views.tenant(tenant_id).facts(user_id).search(words, MOST)
        return tuple(RecalledFact(fact_id=fact.id, text=fact.text, untrusted=fact.untrusted) for fact in found)

    def _answered(self, task: "asyncio.Task[tuple[RecalledFact, ...]]") -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # seen: also when it comes after nobody waits for it any more

    def _without(self, why: str) -> tuple[RecalledFact, ...]:
        self._metrics.facts_missed.inc()
        log.warning("planning without what is remembered: %s", why)
        return ()
