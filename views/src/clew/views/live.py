"""Reading Redis: live streams of runs and cached histories. When it fails, Postgres is asked instead."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias, TypeVar, cast
from uuid import UUID

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from clew.views.client import ClientEvent
from clew.views.cursor import Cursor, InvalidCursor
from clew.views.names import stream_id

MOMENT: Final = timedelta(milliseconds=100)  # for an answer that needs no waiting; then Postgres is asked
GLANCE: Final = timedelta(milliseconds=50)  # for an answer that is only there to be quicker than Postgres
REST: Final = 1.0  # seconds for which a cache that failed is not asked again: nobody waits for it twice
SLACK: Final = timedelta(seconds=1)  # above the longest wait for news, before Redis counts as hanging
WAIT: Final = timedelta(milliseconds=100)  # of one read for news: a run that joins the others waits this long at most
FETCH: Final = 500  # entries of one read, for each stream
KEEPING: Final = "kept while nobody waits"  # the name of such tasks
GONE: Final = UUID(int=0)  # no run: somebody tells that the thread was deleted
T = TypeVar("T")
Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
logger = logging.getLogger(__name__)


class Begun(NamedTuple):
    """The runs that a thread's stream tells of, up to the entry `last`; GONE for none, when the thread was deleted."""

    last: str
    runs: Sequence[UUID]


class News(NamedTuple):
    """What one reading brought, by the streams' keys: events of runs, and runs of threads."""

    events: Mapping[str, Sequence[ClientEvent]]
    begun: Mapping[str, Begun]


class LiveUnavailable(Exception):
    """Redis is away, or is not used at all."""


class LiveReader:
    """A client of Redis, and an async context manager. Every method raises LiveUnavailable when none answers."""

    def __init__(self, redis_url: str | None) -> None:
        self._url = redis_url
        self._quick: Redis | None = None
        self._patient: Redis | None = None
        self._cache: Redis | None = None
        self._resting_until = 0.0
        self._keeping = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        if self._url is not None:
            self._quick = _client(self._url, MOMENT)
            self._patient = _client(self._url, WAIT + SLACK)
            self._cache = _client(self._url, GLANCE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeping:
            await asyncio.wait(self._keeping)
        for client in (self._quick, self._patient, self._cache):
            if client is not None:
                await client.aclose()

    async def check(self) -> str | None:
        """None when Redis answers, or is not used; else the reason why it cannot be."""
        try:
            if self._quick is not None:
                await _awaited(self._quick.ping())
        except (RedisError, OSError) as error:
            return f"Redis does not answer: {error}"
        return None

    async def behind(self, key: str, place: Cursor) -> list[ClientEvent]:
        """What a run's stream holds behind `place` now."""
        streams = await self._read(self._quick, _ids({key: place}), None)
        return _events(streams.get(key, []), place.run_id)

    async def news(self, places: Mapping[str, Cursor], threads: Mapping[str, str]) -> News:
        """What the streams of runs, and those of runs that began in threads, hold behind their places, or what comes
        first; nothing after WAIT.

        A run's stream that is named without events holds some that cannot be read.
        """
        after = {**_ids(places), **threads}
        streams = await self._read(self._patient, after, int(WAIT.total_seconds() * 1000))
        return News(
            {key: _events(streams[key], place.run_id) for key, place in places.items() if key in streams},
            {key: _begun(streams[key]) for key in threads if key in streams},
        )

    async def cached(self, key: str, name: str) -> bytes | None:
        """The bytes kept under `key` by this name."""
        return await self._glance(lambda redis: _awaited(redis.hget(key, name)))

    async def names(self, key: str) -> list[bytes]:
        """The names under `key`."""
        return await self._glance(lambda redis: _awaited(redis.hkeys(key)))

    async def keep(self, key: str, values: Mapping[str, bytes], lifetime: timedelta, most: int) -> None:
        """Keeps bytes under `key` by their names for a while. Where there are more than `most`, all of them go."""

        async def put(redis: Redis) -> list[int]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping={**values})
                pipe.expire(key, lifetime)
                pipe.hlen(key)
                return await pipe.execute()

        if (await self._glance(put))[-1] > most:
            await self._glance(lambda redis: _awaited(redis.delete(key)))

    def keep_soon(self, work: Coroutine[None, None, None]) -> None:
        """Keeps something while nobody waits for it. `work` raises nothing, and is done when this closes."""
        task = asyncio.create_task(work, name=KEEPING)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def kept(self, keys: Sequence[str]) -> list[bool]:
        """Whether there is something under each of the keys."""

        async def ask(redis: Redis) -> list[int]:
            async with redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.exists(key)
                return await pipe.execute()

        return [bool(there) for there in await self._glance(ask)]

    async def _glance(self, ask: Callable[[Redis], Awaitable[T]]) -> T:
        if monotonic() < self._resting_until:
            raise LiveUnavailable("Redis failed a moment ago")
        try:
            async with asyncio.timeout(MOMENT.total_seconds()):  # with connecting, however often it answers
                return await ask(_used(self._cache))
        except ResponseError as error:
            raise LiveUnavailable(str(error)) from error  # it answers: full, or it has something else there
        except (RedisError, OSError) as error:
            self._resting_until = monotonic() + REST
            raise LiveUnavailable(str(error)) from error

    async def _read(self, redis: Redis | None, after: Mapping[str, str], block: int | None) -> dict[str, list[Entry]]:
        try:
            answer = await _used(redis).xread({**after}, count=FETCH, block=block)
        except (RedisError, OSError) as error:
            raise LiveUnavailable(str(error)) from error
        return {name.decode(): entries for name, entries in cast(list[tuple[bytes, list[Entry]]], answer)}


def _ids(places: Mapping[str, Cursor]) -> dict[str, str]:
    return {key: stream_id(place.seq, place.delta) for key, place in places.items()}


def _events(entries: list[Entry], run_id: UUID) -> list[ClientEvent]:
    found = [_event(fields) for _, fields in entries]
    return [event for event in found if event is not None and event.place.run_id == run_id]


def _begun(entries: list[Entry]) -> Begun:
    """What cannot be read is left out: who follows a thread also asks Postgres, now and then."""
    runs = list[UUID]()
    for _, fields in entries:
        if b"gone" in fields:
            runs.append(GONE)
        with suppress(ValueError):
            runs.append(UUID(fields.get(b"r", b"").decode()))
    return Begun(entries[-1][0].decode(), runs)


def _awaited(answer: object) -> Awaitable[Any]:
    """What a client of asyncio answers with: its types name the other client's answers too."""
    return cast(Awaitable[Any], answer)


def _used(redis: Redis | None) -> Redis:
    if redis is None:
        raise LiveUnavailable("no Redis is configured")
    return redis


def _client(url: str, answer_within: timedelta) -> Redis:
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=answer_within.total_seconds(),
        socket_connect_timeout=min(MOMENT, answer_within).total_seconds(),
        retry=Retry(NoBackoff(), 0),
    )


def _event(fields: dict[bytes, bytes]) -> ClientEvent | None:
    """An entry's event. One that cannot be read is left out: the gap that it leaves is filled from Postgres. So it is
    where all was deleted, and there is nothing any more."""
    if b"gone" in fields:
        return None
    try:
        event = ClientEvent.model_validate_json(fields.get(b"e", b""))
        _ = event.place
    except (ValidationError, InvalidCursor) as error:
        logger.warning("an entry of a live stream cannot be read: %s", error)
        return None
    return event
