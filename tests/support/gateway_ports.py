"""The gateway's two ports in memory, for tests without servers: a log that can be away or silent, and views that are
folded from it and can lag or be away. Only what the gateway asks for; the real views are tested against Postgres.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from clew.chassis.errors import AckTimeout, LogUnreachable
from clew.chassis.publish import Publisher
from clew.contracts.conversation import (
    RunCancelRequested,
    RunForkRequested,
    ThreadChanged,
    ThreadCreated,
    ThreadDeleted,
    UserMessageReceived,
)
from clew.contracts.envelope import Event, Position, RunEvent, RunScoped, stamp
from clew.contracts.execution import AgentSpec, RunCompleted, RunStarted, ToolSpec
from clew.contracts.topics import topic_of
from clew.contracts.usage import Usage
from clew.views import state
from clew.views.client import ClientEvent, client_event
from clew.views.cursor import Cursor, ListPlace, PathPlace
from clew.views.database import ViewsUnavailable
from clew.views.door import Views
from clew.views.fanout import Torn
from clew.views.models import Capabilities, Message, Page, Run, RunHead, RunStatus, Thread
from clew.views.tenant import TenantViews

CAPABILITIES = Capabilities(
    agents=(AgentSpec(name="assistant", description="Answers."),),
    tools=(
        ToolSpec(name="calculator", description="Does sums.", parameters={"type": "object"}, policy="pure"),
        ToolSpec(
            name="adder",
            description="Adds.",
            parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            policy="ask",
        ),
    ),
)


class MemoryLog(Publisher):
    """One partition of every topic. `mode`: fine, away (nothing is sent), or silent (sent, never acknowledged)."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.mode = "fine"
        self.asked_for_ends = 0

    @property
    def reachable(self) -> bool:
        return self.mode != "away"

    async def publish_all(self, events: Sequence[Event], *, timeout: timedelta | None = None) -> list[Position]:
        if self.mode == "away":
            raise LogUnreachable("the broker is away")
        self.events += events
        if self.mode == "silent":
            raise AckTimeout("no acknowledgement")
        last = len(self.events) - 1
        return [Position(topic=topic_of(type(event)).name, partition=0, offset=last) for event in events]

    async def ends(self, topic: str) -> dict[int, int]:
        self.asked_for_ends += 1
        if self.mode == "away":
            raise LogUnreachable("the broker is away")
        return {0: len(self.events)}


class MemoryViews(Views):
    """Folds the log up to `known` (None: all of it) when asked. `away`: every question raises ViewsUnavailable."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.known: int | None = None
        self.catches_up = True
        self.away = False
        self.torn: set[tuple[UUID, int]] = set()  # run and seq behind which an event is missing for ever
        self.over: set[UUID] = set()  # runs whose followers are let go, because their thread is deleted
        self.lingers = 0.0  # seconds that a follower takes to end

    @property
    def events(self) -> list[Event]:
        if self.away:
            raise ViewsUnavailable("Postgres is away")
        return self.log.events[: self.known]

    def tenant(self, tenant_id: str) -> "MemoryTenantViews":
        return MemoryTenantViews(self, tenant_id)

    async def passed(self, position: Position, timeout: timedelta) -> bool:
        if self.away:
            raise ViewsUnavailable("Postgres is away")
        if self.known is not None and self.catches_up:
            self.known = None
        return self.known is None or position.offset < self.known

    async def check(self) -> str | None:
        return "away" if self.away else None


class MemoryTenantViews(TenantViews):
    def __init__(self, views: MemoryViews, tenant_id: str) -> None:
        self._views = views
        self._tenant_id = tenant_id

    def _of(self, fits: Callable[[Event], bool]) -> list[Event]:
        return [event for event in self._views.events if event.tenant_id == self._tenant_id and fits(event)]

    async def thread(self, thread_id: UUID) -> Thread | None:
        mine = self._of(lambda event: getattr(event, "thread_id", None) == thread_id)
        made = next((event for event in mine if isinstance(event, ThreadCreated)), None)
        if made is None or any(isinstance(event, ThreadDeleted) for event in mine):
            return None
        runs = await self.thread_runs(thread_id)
        thread = Thread(
            id=thread_id,
            tenant_id=made.tenant_id,
            title=made.title,
            metadata=made.metadata,
            created_by=made.created_by,
            created_at=made.occurred_at,
            last_activity_at=mine[-1].occurred_at,
            current_run_id=runs[-1].id if runs else None,
            busy=any(not run.ended for run in runs),
            request_hash=made.request_hash,
        )
        for change in mine:
            if isinstance(change, ThreadChanged):
                given = change.model_dump(include={"title", "metadata", "archived"}, exclude_none=True)
                thread = thread.model_copy(update=given)
        return thread

    async def threads(self, after: str | None = None, limit: int = 50, *, archived: bool = False) -> Page[Thread]:
        place = None if after is None else ListPlace.parse(after)
        ids = [event.thread_id for event in self._of(lambda event: True) if isinstance(event, ThreadCreated)]
        all_ = [thread for id in dict.fromkeys(ids) if (thread := await self.thread(id)) is not None]
        found = [thread for thread in all_ if thread.archived == archived]
        return Page(items=found[:limit] if place is None else [], next=None)

    async def run(self, run_id: UUID) -> Run | None:
        mine = await self.run_events(run_id)
        message = next((event for event in mine if isinstance(event, UserMessageReceived)), None)
        fork = next((event for event in await self.signals(run_id) if isinstance(event, RunForkRequested)), None)
        first = message or fork
        if first is None:
            return None
        view = state.at(mine) if mine else None
        start = next((event for event in mine if isinstance(event, RunStarted)), None)
        return Run(
            id=run_id,
            thread_id=first.thread_id,
            tenant_id=first.tenant_id,
            parent_run_id=message.parent_run_id if message else None,
            forked_from=fork.forked_from if fork else None,
            status=view.status if view else "queued",
            suspension=view.suspension if view else None,
            on_busy=message.on_busy if message else None,
            model=first.model,
            plan=view.plan if view else None,
            output=view.output if view else None,
            confidence=None,
            error=None,
            usage=Usage(),
            cost=None,
            last_seq=max((event.seq for event in mine), default=0),
            created_at=first.occurred_at,
            started_at=start.occurred_at if start else None,
            ended_at=view.ended_at if view else None,
            request_hash=message.request_hash if message else None,
        )

    async def run_events(
        self, run_id: UUID, upto: int | None = None, kinds: Sequence[type[RunEvent]] = ()
    ) -> list[RunEvent]:
        mine = (e for e in self._of(lambda e: True) if isinstance(e, RunEvent) and e.run_id == run_id)
        first = {event.seq: event for event in reversed([e for e in mine if upto is None or e.seq <= upto])}
        return [event for _, event in sorted(first.items()) if not kinds or isinstance(event, tuple(kinds))]

    async def signals(self, run_id: UUID) -> list[RunScoped]:
        said = [event for event in self._of(lambda event: topic_of(type(event)).name == "run-signals")]
        return [event for event in said if isinstance(event, RunScoped) and event.run_id == run_id]

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        thread_id: UUID | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Run]:
        if after is not None:
            ListPlace.parse(after)
        ids = [e.run_id for e in self._of(lambda e: isinstance(e, UserMessageReceived)) if isinstance(e, RunEvent)]
        runs = [run for id in dict.fromkeys(ids) if (run := await self.run(id)) is not None]
        fitting = [r for r in runs if status in (None, r.status) and thread_id in (None, r.thread_id)]
        return Page(items=fitting[:limit], next=None)

    async def thread_runs(self, thread_id: UUID) -> list[Run]:
        return list((await self.runs(thread_id=thread_id, limit=200)).items)

    async def threads_below(self, thread_id: UUID) -> list[UUID]:
        asked = [event for event in self._of(lambda event: True) if isinstance(event, UserMessageReceived)]
        children = [event for event in asked if event.parent_call and event.parent_call.thread_id == thread_id]
        return [id for child in children for id in (child.thread_id, *await self.threads_below(child.thread_id))]

    async def run_heads(self, thread_id: UUID, newest: int | None = None) -> list[RunHead]:
        runs = await self.thread_runs(thread_id)
        return [RunHead(id=run.id, last_seq=run.last_seq, ended=run.ended) for run in runs]

    @contextmanager
    def new_runs(self, thread_id: UUID, tell: Callable[[UUID], None]) -> Generator[None]:
        yield

    @property
    def pushed(self) -> bool:
        return False

    async def messages(self, thread_id: UUID, run_id: UUID | None = None) -> list[Message]:
        said = [e for e in self._of(lambda e: True) if isinstance(e, UserMessageReceived) and e.thread_id == thread_id]
        return [
            Message(
                message_id=event.message_id,
                run_id=event.run_id,
                role="user",
                text="",
                content=event.content,
                revision=1,
                created_at=event.occurred_at,
            )
            for event in said
        ]

    async def message_page(
        self, thread_id: UUID, run_id: UUID | None, after: str | None, limit: int, *, newest_first: bool = False
    ) -> bytes | None:
        if after is not None:
            PathPlace.parse(after)
        if await self.thread(thread_id) is None:
            return None
        said = await self.messages(thread_id, run_id)
        items = (said[::-1] if newest_first else said)[:limit]
        return Page[Message](items=items, next=None).model_dump_json().encode()

    async def events(self, run_id: UUID, after: Cursor | None, limit: int = 50) -> list[ClientEvent]:
        mine = await self.run_events(run_id)
        first = -1 if after is None else after.seq
        return [client_event(event) for event in mine if event.seq > first][:limit]

    async def follow(self, run_id: UUID, after: Cursor | None = None) -> AsyncGenerator[ClientEvent]:
        async for batch in self.follow_batches(run_id, after):
            for event in batch:
                yield event

    async def follow_batches(self, run_id: UUID, after: Cursor | None = None) -> AsyncGenerator[Sequence[ClientEvent]]:
        try:
            async for batch in self._batches(run_id, after):
                yield batch
        finally:
            await asyncio.sleep(self._views.lingers)

    async def _batches(self, run_id: UUID, after: Cursor | None) -> AsyncGenerator[Sequence[ClientEvent]]:
        while True:
            if (run_id, after.seq if after else -1) in self._views.torn:
                raise Torn(Cursor(run_id, after.seq if after else -1), (after.seq if after else -1) + 2)
            run = await self.run(run_id)  # before its events: else it may end behind the last that was read
            for event in await self.events(run_id, after, 10_000):
                after = event.place
                yield [event]
                if event.final:
                    return
            if run is not None and (run.ended or run_id in self._views.over):
                return
            await asyncio.sleep(0.002)

    async def capabilities(self) -> Capabilities:
        self._of(lambda event: False)
        return CAPABILITIES


def completed(message: UserMessageReceived, seq: int = 2) -> RunCompleted:
    """The end of the run that `message` began."""
    return RunCompleted(
        **stamp(message, seq, message.occurred_at),
        thread_id=message.thread_id,
        run_id=message.run_id,
        seq=seq,
        output="42",
        usage=Usage(),
    )


def cancels(events: Sequence[Event]) -> list[RunCancelRequested]:
    return [event for event in events if isinstance(event, RunCancelRequested)]
