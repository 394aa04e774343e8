"""Live streams in Redis: each run's events and tokens as they come. Memory is their only writer.

Redis is never waited for longer than a moment, and nothing depends on it: who finds a gap in a stream asks Postgres.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from clew.chassis.clock import Clock
from clew.chassis.records import Record
from clew.contracts.conversation import ThreadDeleted, UserMessageReceived
from clew.contracts.envelope import Event, RunEvent
from clew.contracts.execution import CallCompleted, FinalEvent, RunStarted, TokenDelta, TokenReset
from clew.memory.entry import Entry
from clew.memory.metrics import Metrics
from clew.memory.store import RunPlace
from clew.memory.superseded import Superseded
from clew.views.client import client_event, client_token
from clew.views.cursor import Cursor
from clew.views.names import Keys, stream_id

TIMEOUT: Final = timedelta(milliseconds=50)
KEPT: Final = timedelta(hours=1)  # after the last word; older events are in Postgres only
LENGTH: Final = 10_000  # entries of a stream, about
BEGUN: Final = 200  # runs that a thread's stream tells of
LAST_ID: Final = f"{2**64 - 1}-0"  # behind which a stream takes no event
QUIET: Final = timedelta(seconds=10)  # between two warnings that Redis is away
# Appends a token behind the last entry, once per (call, attempt, index). A stream that is gone starts with an event.
# What comes when its call or its run is over is dropped: the completed call holds the whole text.
APPEND_TOKEN: Final = """
if redis.call('HEXISTS', KEYS[2], 'over') == 1 or redis.call('HEXISTS', KEYS[2], ARGV[7] .. ':over') == 1 then
    return 0
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then return 0 end
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known and tonumber(known) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local base, n = string.match(last[1], '(%d+)-(%d+)')
local delta = string.format('%.0f', n + 1)
local seq = string.format('%.0f', base - 1)
local body = '{"cursor":"' .. ARGV[3] .. ':' .. seq .. '.' .. delta .. '","seq":' .. seq .. ',' .. ARGV[4]
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], base .. '-' .. delta, 'e', body)
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[6])
return 1
"""
logger = logging.getLogger(__name__)


class LiveStreams:
    """Writes live streams; without a Redis URL it writes nothing. An async context manager.

    `live_runs` says which runs of threads were not over at a moment, whatever was deleted.
    """

    def __init__(
        self,
        redis_url: str | None,
        namespace: str,
        clock: Clock,
        metrics: Metrics,
        live_runs: Callable[[Sequence[UUID], datetime], Awaitable[Sequence[RunPlace]]],
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._url = redis_url
        self._timeout = timeout
        self._keys = Keys(namespace)
        self._clock = clock
        self._metrics = metrics
        self._live_runs = live_runs
        self._redis: Redis | None = None
        self._quiet_until = clock()
        self._superseded = Superseded()

    async def __aenter__(self) -> Self:
        if self._url is not None:
            seconds = self._timeout.total_seconds()
            self._redis = Redis.from_url(
                self._url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def on_projected(self, events: Sequence[Event]) -> None:
        """Appends the numbered events, in the order of each run, and forgets deleted threads and their runs."""
        self._superseded.learn(events)
        since = self._clock() - KEPT
        numbered = [event for event in events if event.occurred_at > since and isinstance(event, RunEvent)]
        deleted = [event for event in events if type(event) is ThreadDeleted]
        gone: Sequence[RunPlace] = ()
        if deleted:
            gone = await self._live_runs([event.thread_id for event in deleted], since)
        if numbered or deleted:
            await self._send(lambda pipe: (self._add_events(pipe, numbered), self._forget(pipe, deleted, gone)))

    async def on_tokens(self, entries: Sequence[Entry]) -> None:
        """Appends tokens, each once, behind what their run's stream holds when they arrive.

        Those of an owner that is known to have lost the partition are dropped.
        """
        since = self._clock() - KEPT
        fresh = [e for e in entries if e.record.timestamp > since and not self._superseded.late(e.record)]
        tokens = [e.event for e in fresh if isinstance(e.event, TokenDelta | TokenReset)]
        if tokens:
            await self._send(lambda pipe: self._add_tokens(pipe, tokens))

    def _add_events(self, pipe: Pipeline, events: Sequence[RunEvent]) -> None:
        for event in sorted(events, key=lambda event: event.seq):
            key = self._keys.live(event.tenant_id, event.run_id)
            if (over := _over(event)) is not None:
                tokens = self._keys.tokens(event.tenant_id, event.run_id)
                pipe.hset(tokens, over, "1")
                pipe.expire(tokens, KEPT)
            body = client_event(event).model_dump_json()
            pipe.xadd(key, {"e": body}, id=stream_id(event.seq), maxlen=LENGTH, approximate=True)
        for key in {self._keys.live(event.tenant_id, event.run_id) for event in events}:
            pipe.expire(key, KEPT)
        for event in events:
            if isinstance(event, UserMessageReceived) or (isinstance(event, RunStarted) and event.forked_from):
                begun = self._keys.begun(event.tenant_id, event.thread_id)
                pipe.xadd(begun, {"r": str(event.run_id)}, maxlen=BEGUN, approximate=False)
                pipe.expire(begun, KEPT)

    def _forget(self, pipe: Pipeline, deleted: Sequence[ThreadDeleted], gone: Sequence[RunPlace]) -> None:
        """What was there goes, nothing is appended behind it, and whoever follows sees that and asks Postgres."""
        for event in deleted:
            begun = self._keys.begun(event.tenant_id, event.thread_id)
            pipe.delete(begun)
            pipe.xadd(begun, {"gone": "1"})
            pipe.expire(begun, KEPT)
            # No hash: whoever has read the thread before and keeps a page of it only now is refused by Redis.
            pipe.set(self._keys.history(event.tenant_id, event.thread_id), "gone", ex=KEPT)
        for tenant_id, run_id in gone:
            live, tokens = self._keys.live(tenant_id, run_id), self._keys.tokens(tenant_id, run_id)
            pipe.delete(live, tokens)
            pipe.xadd(live, {"gone": "1"}, id=LAST_ID)
            pipe.hset(tokens, "over", "1")
            pipe.expire(live, KEPT)
            pipe.expire(tokens, KEPT)

    def _add_tokens(self, pipe: Pipeline, tokens: Sequence[TokenDelta | TokenReset]) -> None:
        for token in tokens:
            shown = client_token(token, Cursor(token.run_id, 0))
            keys = (self._keys.live(token.tenant_id, token.run_id), self._keys.tokens(token.tenant_id, token.run_id))
            index = token.index if isinstance(token, TokenDelta) else 0
            field = f"{token.call_id}:{token.attempt}" + ("" if isinstance(token, TokenDelta) else ":reset")
            body = shown.model_dump_json(exclude={"cursor", "seq"}).removeprefix("{")
            seconds = int(KEPT.total_seconds())
            pipe.eval(
                APPEND_TOKEN, 2, *keys, field, index, str(token.run_id), body, LENGTH, seconds, str(token.call_id)
            )

    async def _send(self, fill: Callable[[Pipeline], object]) -> None:
        if self._redis is None:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                fill(pipe)
                answers: list[Any] = await pipe.execute(raise_on_error=False)
            refused = [answer for answer in answers if isinstance(answer, Exception) and not _is_repeat(answer)]
            if refused:
                self._note(refused[0])
        except (RedisError, OSError, TimeoutError) as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self._metrics.redis_failures.inc()
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            logger.warning("Redis cannot be used; live streams fall back to Postgres: %r", error)


def _over(event: RunEvent) -> str | None:
    """What tokens belong to no more after this event: a call's, or any of the run's."""
    if isinstance(event, FinalEvent):
        return "over"
    return f"{event.call_id}:over" if isinstance(event, CallCompleted) and event.kind == "model" else None


def _is_repeat(answer: Exception) -> bool:
    """Redis refuses an id that is not above the last: an event that was appended before, or one that came late."""
    return isinstance(answer, ResponseError) and "equal or smaller" in str(answer)


def tokens_handler(
    entry: Callable[[Record], Awaitable[Entry]], live: LiveStreams
) -> Callable[[Sequence[Record]], Awaitable[None]]:
    """The handler of token records: straight to Redis, never waiting for Postgres."""

    async def on_token_records(records: Sequence[Record]) -> None:
        await live.on_tokens([await entry(record) for record in records])

    return on_token_records
