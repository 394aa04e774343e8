"""What one tenant may read: each method is one question, asked under row-level security."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString, TypeVar
from uuid import UUID

from clew.contracts.conversation import ApprovalDecided, UserMessageReceived
from clew.contracts.envelope import RunEvent, RunScoped
from clew.contracts.execution import RunStarted
from clew.views import lineage
from clew.views.approvals import SETTLING, Approval, asked, heard
from clew.views.client import ClientEvent
from clew.views.cursor import Cursor, ListPlace
from clew.views.database import Database, Query, Row
from clew.views.facts import FactViews
from clew.views.follow import Follower
from clew.views.history import HistoryCache, HistoryPages, Wanted
from clew.views.hub import Hub
from clew.views.live import LiveReader
from clew.views.metrics import Metrics
from clew.views.models import Capabilities, Document, Message, Page, Passage, Run, RunHead, RunStatus, Summary, Thread
from clew.views.names import Keys
from clew.views.nearness import Nearness
from clew.views.order import joined
from clew.views.past import PastReader, client_events
from clew.views.paths import Enough, Paths
from clew.views.records import RecordViews
from clew.views.rows import capabilities_of, document_of, event_of, passage_of, run_of, thread_of

PAGE: Final = 50
RUN: Final = """
SELECT run_id, thread_id, tenant_id, parent_run_id, forked_from, status, suspension, on_busy, model, plan::text AS plan,
    output, confidence, failure, error, requests, input_tokens, output_tokens, cost_usd, last_seq,
    created_at, started_at, ended_at, trace, request_hash
FROM runs
"""
THREAD: Final = """
SELECT thread_id, tenant_id, title, metadata, created_by, created_at, last_activity_at, current_run_id, busy,
    archived, request_hash
FROM threads
"""
DOCUMENT: Final = """
SELECT document_id, tenant_id, filename, content_type, size, object_key, sha256, uploaded_by, created_at, status,
    stage, error, pages, characters, chunks
FROM documents
"""
EVENTS: Final = "SELECT type, body::text AS body FROM events WHERE run_id = %s AND seq > %s ORDER BY seq LIMIT %s"
RUN_EVENTS: Final = """
SELECT type, body::text AS body FROM events
WHERE run_id = %s AND (%s::int IS NULL OR seq <= %s) AND (%s::text[] IS NULL OR type = ANY(%s)) ORDER BY seq
"""
SIGNALS: Final = "SELECT type, body::text AS body FROM signals WHERE run_id = %s ORDER BY record_offset"
# Any of the words may match; how many do, and how near to each other, is what the rank says.
SEARCH: Final = """
SELECT c.document_id, c.filename, c.index, c.page, c.heading, c.text, ts_rank_cd(c.words, q.query) AS score
FROM chunks c, (SELECT replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery AS query) q
WHERE c.words @@ q.query AND (%s::uuid[] IS NULL OR c.document_id = ANY(%s::uuid[]))
ORDER BY score DESC, c.document_id, c.index
LIMIT %s
"""
T = TypeVar("T")


class TenantViews:
    """The views of one tenant. Every method raises ViewsUnavailable when Postgres cannot answer."""

    def __init__(
        self,
        database: Database,
        live: LiveReader,
        hub: Hub,
        keys: Keys,
        nearness: Nearness,
        metrics: Metrics,
        tenant_id: str,
    ) -> None:
        self._database = database
        self._live = live
        self._hub = hub
        self._keys = keys
        self._nearness = nearness
        self._pages = HistoryPages(database, HistoryCache(live, metrics), keys, tenant_id)
        self._tenant_id = tenant_id

    async def thread(self, thread_id: UUID) -> Thread | None:
        rows = await self._rows(THREAD + "WHERE thread_id = %s", thread_id)
        return thread_of(rows[0]) if rows else None

    async def threads(self, after: str | None = None, limit: int = PAGE, *, archived: bool = False) -> Page[Thread]:
        """Newest activity first; either the `archived` ones or the others. InvalidCursor when `after` is no `next`."""
        place = None if after is None else ListPlace.parse(after)
        where = "WHERE archived = %s AND (%s::timestamptz IS NULL OR (last_activity_at, thread_id) < (%s, %s::uuid)) "
        order = "ORDER BY last_activity_at DESC, thread_id DESC LIMIT %s"
        rows = await self._rows(THREAD + where + order, archived, *_behind(place), limit + 1)
        return _page(rows, limit, thread_of, lambda thread: ListPlace(thread.last_activity_at, thread.id))

    async def run(self, run_id: UUID) -> Run | None:
        rows = await self._rows(RUN + "WHERE run_id = %s", run_id)
        return run_of(rows[0]) if rows else None

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        thread_id: UUID | None = None,
        after: str | None = None,
        limit: int = PAGE,
    ) -> Page[Run]:
        """Newest first. InvalidCursor when `after` is no `next` of this list."""
        place = None if after is None else ListPlace.parse(after)
        where = """
        WHERE (%s::timestamptz IS NULL OR (created_at, run_id) < (%s::timestamptz, %s::uuid))
        AND (%s::text IS NULL OR status = %s) AND (%s::uuid IS NULL OR thread_id = %s)
        ORDER BY created_at DESC, run_id DESC LIMIT %s
        """
        rows = await self._rows(RUN + where, *_behind(place), status, status, thread_id, thread_id, limit + 1)
        return _page(rows, limit, run_of, lambda run: ListPlace(run.created_at, run.id))

    async def thread_runs(self, thread_id: UUID) -> list[Run]:
        """The thread's tree: every run, in the order of their messages."""
        rows = await self._rows(RUN + "WHERE thread_id = %s ORDER BY message_offset NULLS LAST, created_at", thread_id)
        return [run_of(row) for row in rows]

    async def run_heads(self, thread_id: UUID, newest: int | None = None) -> list[RunHead]:
        """The thread's runs in the order of their messages; of many, the `newest` ones."""
        heads = "SELECT run_id AS id, last_seq, ended_at IS NOT NULL AS ended FROM runs WHERE thread_id = %s "
        rows = await self._rows(heads + "ORDER BY message_offset DESC, created_at DESC LIMIT %s", thread_id, newest)
        return [RunHead.model_validate(row) for row in reversed(rows)]

    @contextmanager
    def new_runs(self, thread_id: UUID, tell: Callable[[UUID], None]) -> Generator[None]:
        """Tells of the runs that begin in the thread, on whatever replica, and of those that began lately; of some
        twice. While `pushed` is False nobody is told."""
        with self._hub.watch(self._keys.begun(self._tenant_id, thread_id), tell):
            yield

    @property
    def pushed(self) -> bool:
        return not self._hub.redis_away

    async def messages(self, thread_id: UUID, run_id: UUID | None = None) -> list[Message]:
        """The messages of the path from the root to `run_id` (default: the newest leaf). Empty when there is none."""
        found = run_id or await self._leaf(thread_id)
        return [] if found is None else await self._paths(thread_id).whole(found)

    async def newest_messages(self, thread_id: UUID, run_id: UUID, enough: Enough) -> list[Message]:
        """The end of the same path, oldest first: so many messages that they are `enough`, or all."""
        return await self._paths(thread_id).newest(run_id, enough, PAGE)

    async def message_page(
        self, thread_id: UUID, run_id: UUID | None, after: str | None, limit: int, *, newest_first: bool = False
    ) -> bytes | None:
        """A page of the same path, a Page[Message], as JSON; None when there is no such thread. A place keeps to the
        path that it was given for.

        InvalidCursor when `after` is no `next` of this list.
        """
        return await self._pages.page(Wanted(thread_id, run_id, after, limit, newest_first))

    async def refresh(self, thread_id: UUID) -> None:
        """Reads the first pages that somebody has asked for lately anew, so that the next who asks finds them."""
        await self._pages.refresh(thread_id)

    async def _leaf(self, thread_id: UUID) -> UUID | None:
        rows = await self._rows("SELECT current_run_id FROM threads WHERE thread_id = %s", thread_id)
        return rows[0]["current_run_id"] if rows else None

    def _paths(self, thread_id: UUID) -> Paths:
        return Paths(self._database, self._tenant_id, thread_id)

    async def any_untrusted(self, said: Sequence[Message]) -> bool:
        """Whether bytes from outside went into these messages of a path: into an answer, or into what began it."""
        answered = {message.run_id for message in said if message.role == "assistant"}
        begun = [] if not said or said[0].run_id in answered else await self.run_events(said[0].run_id, upto=0)
        if any(isinstance(event, UserMessageReceived) and event.untrusted for event in begun):  # a child run's own
            return True
        return await lineage.any_untrusted(self._database, self._tenant_id, answered)

    async def threads_below(self, thread_id: UUID) -> list[UUID]:
        """The threads of the runs that this one's runs began by a call, of those that theirs began, and so on."""
        return await lineage.threads_below(self._database, self._tenant_id, thread_id)

    async def summaries(self, thread_id: UUID) -> list[Summary]:
        """What was made of the thread's long histories, in the order in which it was made."""
        made = "SELECT run_id, first_run_id, last_run_id, summary, untrusted FROM summaries"
        rows = await self._rows(f"{made} WHERE thread_id = %s ORDER BY record_offset", thread_id)
        return [Summary.model_validate(row) for row in rows]

    async def events(self, run_id: UUID, after: Cursor | None, limit: int = PAGE) -> list[ClientEvent]:
        """The numbered events of a run behind `after`, as far as they are there without a gap."""
        place = after or Cursor(run_id, -1)
        rows = await self._rows(EVENTS, run_id, place.seq, limit)
        return joined(place, client_events(rows))

    async def run_events(
        self, run_id: UUID, upto: int | None = None, kinds: Sequence[type[RunEvent]] = ()
    ) -> list[RunEvent]:
        """A run's own numbered events up to `upto`, in order, as they are in the log; those of `kinds` only, if any."""
        names = [kind.type_name() for kind in kinds] or None
        rows = await self._rows(RUN_EVENTS, run_id, upto, upto, names, names)
        events = await asyncio.to_thread(lambda: [event_of(row) for row in rows])  # there may be thousands
        return [event for event in events if isinstance(event, RunEvent)]

    async def recorded(self, run_id: UUID) -> list[RunEvent]:
        """A run's events; before those of a fork what it shares with the run that it goes on from."""
        events = await self.run_events(run_id)
        whole, seen = events, {run_id}
        while events and isinstance(start := events[0], RunStarted) and start.forked_from not in {None, *seen}:
            assert start.forked_from is not None
            events = await self.run_events(start.forked_from, start.after_seq)
            whole, seen = [*events, *whole], {*seen, start.forked_from}
        return whole

    async def signals(self, run_id: UUID) -> list[RunScoped]:
        """What was said to a run, in order, heard or not."""
        events = [event_of(row) for row in await self._rows(SIGNALS, run_id)]
        return [event for event in events if isinstance(event, RunScoped)]

    async def approvals(self, run_id: UUID) -> list[Approval]:
        """The calls of a run that wait for a person: asked about, and by nobody answered."""
        events = await self.run_events(run_id, kinds=SETTLING)
        waiting = asked(events).waiting
        if not waiting:
            return []
        told = heard(events)
        answered = {
            signal.call_id
            for signal in await self.signals(run_id)
            if isinstance(signal, ApprovalDecided) and signal.event_id not in told
        }
        return [approval for approval in waiting.values() if approval.call_id not in answered]

    def follow(self, run_id: UUID, after: Cursor | None = None) -> AsyncGenerator[ClientEvent]:
        """Every event of a run behind `after`, with the tokens as they come, up to the run's final event.

        The caller has made sure that the run is the tenant's: of an unknown run it waits for the first event. Torn when
        an event is missing for ever. Close it (`aclosing`) when it is left before its end.
        """
        return self._follower(run_id, after).events()

    def follow_batches(self, run_id: UUID, after: Cursor | None = None) -> AsyncGenerator[Sequence[ClientEvent]]:
        """As `follow`: those events together that came together."""
        return self._follower(run_id, after).batches()

    def _follower(self, run_id: UUID, after: Cursor | None) -> Follower:
        key, past = self._keys.live(self._tenant_id, run_id), PastReader(self._database)
        place = after or Cursor(run_id, -1)
        return Follower(self._hub, self._live, past, self._tenant_id, key, place)

    async def document(self, document_id: UUID) -> Document | None:
        rows = await self._rows(DOCUMENT + "WHERE document_id = %s", document_id)
        return document_of(rows[0]) if rows else None

    async def documents(self, after: str | None = None, limit: int = PAGE) -> Page[Document]:
        """Newest first. InvalidCursor when `after` is no `next` of this list."""
        place = None if after is None else ListPlace.parse(after)
        where = "WHERE %s::timestamptz IS NULL OR (created_at, document_id) < (%s::timestamptz, %s::uuid) "
        order = "ORDER BY created_at DESC, document_id DESC LIMIT %s"
        rows = await self._rows(DOCUMENT + where + order, *_behind(place), limit + 1)
        return _page(rows, limit, document_of, lambda document: ListPlace(document.created_at, document.id))

    async def search_chunks(self, query: str, limit: int, document_ids: Sequence[UUID] | None = None) -> list[Passage]:
        """The passages that best match the words of `query`, best first; in these documents only, if any are named."""
        ids = None if document_ids is None else list(document_ids)
        return [passage_of(row) for row in await self._rows(SEARCH, query.replace("\x00", " "), ids, ids, limit)]

    @property
    def records(self) -> RecordViews:
        """Events by their places in the log."""
        return RecordViews(self._database, self._tenant_id)

    def facts(self, user_id: str) -> FactViews:
        """What is remembered about one user of the tenant."""
        return FactViews(self._database, self._nearness, self._tenant_id, user_id)

    async def capabilities(self) -> Capabilities:
        """What all executors offer; of two with one name, what was announced last."""
        return capabilities_of(await self._rows("SELECT body FROM capabilities ORDER BY record_offset"))

    async def _rows(self, text: LiteralString, *parameters: Any, **named: Any) -> list[Row]:
        [rows] = await self._database.as_tenant(self._tenant_id, Query(text, named or parameters))
        return rows


def _behind(place: ListPlace | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if place is None else (place.at, place.at, place.id)


def _page(rows: list[Row], limit: int, model: Callable[[Row], T], place: Callable[[T], ListPlace]) -> Page[T]:
    """A page from the rows of one more than `limit`."""
    items = [model(row) for row in rows[:limit]]
    return Page[T](items=items, next=str(place(items[-1])) if len(rows) > limit else None)
