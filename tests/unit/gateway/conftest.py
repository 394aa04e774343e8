"""The gateway's application in this process, over ports in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import httpx2
import pytest
from starlette.types import ASGIApp

from clew.chassis import clock
from clew.gateway.app import create_app
from clew.gateway.auth import Principal, nobody_asked
from clew.gateway.deps import Deps
from clew.gateway.edge import Edge, Gate, Origins
from clew.gateway.live import beside
from clew.gateway.storage import connect
from tests.support.gateway_ports import MemoryLog, MemoryViews
from tests.support.log import settings_from

URL = "http://127.0.0.1:8000"
NOBODY = "00000000-0000-4000-8000-00000000dead"  # an id that nothing has


@dataclass
class Gateway:
    """The application, what is behind it, and a client in front of it."""

    app: ASGIApp
    deps: Deps
    gate: Gate
    log: MemoryLog
    views: MemoryViews
    client: httpx2.AsyncClient

    def elsewhere(self) -> httpx2.AsyncClient:
        """A client of another replica: the same log and views, and nothing remembered."""
        return client_of(build(self.log, self.views)[0])

    async def thread(self) -> UUID:
        return UUID((await self.client.post("/v1/threads", json={})).json()["id"])


def two_tenants(token: str | None) -> Principal:
    """No token is the local user; a token names the tenant."""
    return nobody_asked("localhost")(None) if token is None else Principal(token, "somebody")


def build(log: MemoryLog, views: MemoryViews) -> tuple[ASGIApp, Deps, Gate]:
    files = connect(settings_from({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "S3_ENDPOINT": "http://127.0.0.1:9"}))
    deps = Deps(log, views, log.ends, files, clock.now, clock.new_id, asyncio.Event())
    gate = Gate()
    gate.open = True
    origins = Origins(["https://app.example"], local_only=True)
    return Edge(beside(create_app(deps), deps), two_tenants, origins, gate, clock.new_id), deps, gate


def client_of(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=URL)


def fresh() -> Gateway:
    log = MemoryLog()
    views = MemoryViews(log)
    app, deps, gate = build(log, views)
    return Gateway(app, deps, gate, log, views, client_of(app))


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = fresh()
    async with made.client:
        yield made


@pytest.fixture(scope="module")
def untouched() -> Gateway:
    """One for the whole module, because building the application takes longer than most tests."""
    return fresh()


@pytest.fixture
async def healthy(untouched: Gateway) -> AsyncIterator[Gateway]:
    """A gateway of which, after the test, nothing may be written and the next message must be served."""
    yield untouched
    assert untouched.log.events == []
    assert (await untouched.client.post("/v1/messages", json={"content": "next"})).status_code == 202
    untouched.log.events.clear()
