"""What a cache that is slow costs: a moment at the most, and once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from clew.views.live import GLANCE, LiveReader, LiveUnavailable


@asynccontextmanager
async def slow_redis(pause: timedelta, asked: list[bytes]) -> AsyncGenerator[str]:
    """One that takes so long for each answer; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(ConnectionError):
            while said := await reader.read(2**16):
                for command in said.split(b"*")[1:]:
                    asked.append(command.split(b"\r\n")[2])
                    await asyncio.sleep(pause.total_seconds())
                    writer.write(b"+OK\r\n")
        writer.close()

    serving: list[asyncio.Task[None] | None] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        await asyncio.gather(*(task for task in serving if task is not None))


async def test_answers_that_each_come_in_time_are_not_waited_for_longer_than_a_moment_together() -> None:
    asked: list[bytes] = []
    async with slow_redis(0.5 * GLANCE, asked) as url, LiveReader(url) as cache:
        with pytest.raises(LiveUnavailable):
            await cache.keep("thread", {"page": b"{}"}, GLANCE, 5)  # seven answers, with those of connecting
        assert b"EXEC" not in asked


async def test_a_cache_that_was_too_slow_is_not_asked_again_at_once() -> None:
    asked: list[bytes] = []
    async with slow_redis(2 * GLANCE, asked) as url, LiveReader(url) as cache:
        with pytest.raises(LiveUnavailable):
            await cache.cached("thread", "page")
        before = len(asked)
        for _ in range(3):
            with pytest.raises(LiveUnavailable, match="a moment ago"):
                await cache.cached("thread", "page")
        assert len(asked) == before
