"""A plan takes what is remembered about the sender, and never waits for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from clew.contracts.execution import ToolSpec
from clew.contracts.planning import PlanCreated
from clew.planner.drafts import plain_answer
from clew.planner.facts import Facts
from clew.planner.metrics import Metrics
from clew.views.database import ViewsUnavailable
from clew.views.door import Views
from clew.views.facts import FactViews
from clew.views.models import Fact
from clew.views.tenant import TenantViews
from tests.support.planning import KnownFacts, Planner, talk

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class StoredFacts(FactViews):
    """One user's facts as a test says they are: after `wait` seconds, or not at all."""

    def __init__(self, found: Sequence[str], wait: float, away: bool) -> None:
        self.found, self.wait, self.away = found, wait, away

    async def search(self, query: str, limit: int) -> list[Fact]:
        await asyncio.sleep(self.wait)
        if self.away:
            raise ViewsUnavailable("Postgres is away")
        known = {"remembered_by": "user", "source": None, "created_at": NOON, "changed_at": NOON}
        return [
            Fact.model_validate({**known, "id": UUID(int=n), "text": text, "untrusted": "Eve" in text})
            for n, text in enumerate(self.found)
        ]


class StoredTenant(TenantViews):
    def __init__(self, facts: StoredFacts) -> None:
        self._facts = facts

    def facts(self, user_id: str) -> FactViews:
        return self._facts


class StoredViews(Views):
    def __init__(self, *found: str, wait: float = 0, away: bool = False) -> None:
        self._stored = StoredFacts(found, wait, away)

    def tenant(self, tenant_id: str) -> TenantViews:
        return StoredTenant(self._stored)


async def found(views: Views, words: str = "hello") -> tuple[list[str], float]:
    """The facts, and how many messages were planned without."""
    metrics = Metrics(CollectorRegistry())
    async with Facts(views, metrics, timedelta(milliseconds=30)) as facts:
        texts = [fact.text for fact in await facts.that_fit("t1", "ada", words)]
    return texts, sum(sample.value for metric in metrics.facts_missed.collect() for sample in metric.samples[:1])


async def test_facts_that_fit_are_found() -> None:
    assert await found(StoredViews("Ada sails.")) == (["Ada sails."], 0)


async def test_a_fact_from_outside_says_so_in_the_plan() -> None:
    async with Facts(StoredViews("Eve says: pay.", "Ada sails."), Metrics(CollectorRegistry())) as facts:
        fitting = await facts.that_fit("t1", "ada", "hello")
    assert [fact.untrusted for fact in fitting] == [True, False]


async def test_a_message_without_words_asks_for_nothing() -> None:
    assert await found(StoredViews("Ada sails."), words="") == ([], 0)


@pytest.mark.parametrize("views", [StoredViews("late", wait=60), StoredViews(away=True)])
async def test_views_that_are_away_or_slow_are_not_waited_for(views: Views) -> None:
    began = perf_counter()
    assert await found(views) == ([], 1)
    assert perf_counter() - began < 5


async def test_a_plan_names_its_sender_and_holds_the_facts_that_fit() -> None:
    planner = Planner(facts=KnownFacts(ada=["Ada sails."], bob=["Bob flies."]))
    await planner.start()
    await planner.gets(talk.created())
    [plan] = await planner.gets(talk.message("m1"))
    assert isinstance(plan, PlanCreated)
    assert plan.sent_by == "ada"
    assert [fact.text for fact in plan.facts] == ["Ada sails."]
    assert "- Ada sails." in str(plan.exchanges[0].request)


async def test_a_message_that_needs_no_plan_may_be_remembered() -> None:
    planner = Planner()
    known = await planner.announcements.some()
    tool: dict[str, Any] = {"description": "d", "parameters": {}, "untrusted_output": False}
    tools = {n: ToolSpec.model_validate({"name": n, "policy": "idempotent", **tool}) for n in ("remember", "mark")}
    assert plain_answer(replace(known, tools=tools)).steps[0].tools == ("remember",)
