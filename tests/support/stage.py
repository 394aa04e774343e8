"""A whole Clew with tools of the user's own and a model that follows scenes: what tests of durable runs act on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from clew.contracts.envelope import RunEvent
from clew.contracts.execution import RunCancelled, RunCompleted, RunFailed
from tests.support.outside import Entry, Mark, Outside
from tests.support.scenes import follow_scenes
from tests.support.scripted_openai import ChatRequest, Reply, ScriptedOpenAI
from tests.support.services import ServiceProcess, running
from tests.support.system import Json, System

PAUSE = 0.05  # seconds between two looks at what is waited for


@dataclass(frozen=True)
class Ledger:
    """What the tools wrote down of each execution, outside of everything that fails."""

    outside: Outside

    def lines(self, token: str) -> list[Entry]:
        """All about one token, in order."""
        return [entry for entry in self.outside.entries() if entry.token == token]

    def said(self, token: str) -> list[Mark]:
        return [entry.mark for entry in self.lines(token)]

    async def until(self, token: str, mark: Mark = "begun", seconds: float = 20) -> Entry:
        """The first entry with that mark."""
        async with asyncio.timeout(seconds):
            while not (found := [entry for entry in self.lines(token) if entry.mark == mark]):
                await asyncio.sleep(PAUSE)
        return found[0]


@dataclass(frozen=True)
class Stage:
    """The system, its model, its tools and their ledger."""

    system: System
    model: ScriptedOpenAI
    ledger: Ledger
    tools: Path
    env: Mapping[str, str]

    @contextmanager
    def answering(self, model: Callable[[ChatRequest], Reply]) -> Generator[System]:
        """The system with another model, for a while."""
        self.model.answer_with(model)
        yield self.system
        self.model.answer_with(follow_scenes)

    @property
    def executor(self) -> ServiceProcess:
        return self.system.services["executor"]

    async def begin(self, text: str, **more: Any) -> str:
        """Says something; the id of its run."""
        return str((await self.system.say(text, **more))["run_id"])

    async def end(self, run_id: str, seconds: float = 40) -> Json:
        """The final event of a run, as a client sees it."""
        return (await self.system.until_ended(run_id, seconds=seconds))[-1]

    async def output(self, run_id: str, seconds: float = 40) -> str:
        """The answer of a run that completes."""
        last = await self.end(run_id, seconds)
        assert last["type"] == "run.completed", last
        return str(last["data"]["output"])

    async def suspended(self, run_id: str, reason: str = "approval", seconds: float = 20) -> Json:
        """The run, once it is suspended for that reason."""
        async with asyncio.timeout(seconds):
            while True:
                run = await self.system.run(run_id)
                if run["status"] == "suspended" and run["suspension"]["reason"] == reason:
                    return run
                assert run["status"] not in ("completed", "failed", "cancelled"), run
                await asyncio.sleep(PAUSE)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> httpx2.Response:
        return await self.system.http.post(f"/v1/runs/{path}", json=body or {})

    async def decide(self, run_id: str, call_id: str, decision: str, **more: Any) -> httpx2.Response:
        return await self.post(f"{run_id}/approvals/{call_id}", {"decision": decision, **more})

    async def crash(self) -> None:
        """Kills the executor and starts another."""
        await self.executor.kill()
        await self.executor.start()

    @asynccontextmanager
    async def other_executor(self, folder: Path, **env: str) -> AsyncGenerator[ServiceProcess]:
        """Another executor in the place of the usual one, which comes back afterwards."""
        if self.executor.running:
            await self.executor.stop()
        async with running("executor", {**self.env, **env}, folder) as other:
            yield other
        await self.executor.start()

    async def written(self, run_id: str) -> list[RunEvent]:
        """The run's own events in `task-updates`, in the order in which they stand there."""
        events = await self.system.log.events("task-updates")
        return [event for event in events if isinstance(event, RunEvent) and event.run_id == UUID(run_id)]


def kinds(events: Sequence[Json]) -> list[str]:
    """The types of events, without those of single words."""
    return [event["type"] for event in events if not event["type"].startswith("token.")]


def check_ended_once(events: Sequence[RunEvent]) -> None:
    """A run's record ends with its only final event, and no number is missing or used twice."""
    finals = [event for event in events if isinstance(event, RunCompleted | RunFailed | RunCancelled)]
    assert len(finals) == 1, finals
    assert events[-1] is finals[0], events[-1]
    assert [event.seq for event in events] == list(range(2, len(events) + 2))
