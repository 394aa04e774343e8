"""All of Clew for a test: five services as processes on the session's real parts, in a namespace of their own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from websockets.asyncio.client import connect

from tests.support.log import Log, make_topics, settings_from
from tests.support.services import ServiceProcess

SERVICES = ("memory", "planner", "executor", "ingestion", "gateway")
Json = dict[str, Any]  # Any: whatever the API answers


@dataclass
class System:
    """A running Clew: its services by name, a client of its gateway, and its log."""

    services: Mapping[str, ServiceProcess]
    http: httpx2.AsyncClient
    log: Log

    @property
    def url(self) -> str:
        return self.services["gateway"].url

    async def say(self, text: str, *, thread_id: str | None = None, **more: object) -> Json:
        """Posts a message, in a new thread unless one is named; the 202's body."""
        path = f"/v1/threads/{thread_id}/messages" if thread_id else "/v1/messages"
        response = await self.http.post(path, json={"content": text, **more})
        assert response.status_code == 202, response.text
        return response.json()

    async def follow(self, run_id: str, *, after: str | None = None) -> AsyncIterator[Json]:
        """The run's events over the WebSocket, from `after` on, until the run has ended. Comes again after a 503."""
        async with connect(f"{self.url.replace('http', 'ws')}/v1/ws", subprotocols=["clew.v1"]) as socket:  # type: ignore[list-item]  # a plain str is a Subprotocol
            while True:
                await socket.send(json.dumps({"type": "subscribe", "id": "1", "run_id": run_id, "after": after}))
                async for frame in socket:
                    message = json.loads(frame)
                    if message["type"] == "event":
                        after = message["event"]["cursor"]
                        yield message["event"]
                    elif message["type"] == "ended":
                        return
                    elif message["type"] == "error":
                        assert message["problem"]["status"] == 503, message
                        break
                await asyncio.sleep(0.5)

    async def until_ended(self, run_id: str, *, seconds: float = 40) -> list[Json]:
        """All events of a run, once it has ended."""
        async with asyncio.timeout(seconds):
            return [event async for event in self.follow(run_id)]

    async def run(self, run_id: str | UUID) -> Json:
        response = await self.http.get(f"/v1/runs/{run_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def wait_for(self, run_id: str, event_type: str, *, seconds: float = 30) -> Json:
        """The first event of that type in the run."""
        async with asyncio.timeout(seconds):
            async for event in self.follow(run_id):
                if event["type"] == event_type:
                    return event
        raise AssertionError(f"run {run_id} ended without a {event_type}")


@asynccontextmanager
async def whole_system(env: Mapping[str, str], folder: Path) -> AsyncGenerator[System]:
    """Topics, schema and the five services; each that fails to start shows its last lines."""
    await make_topics(env)
    await asyncio.to_thread(migrate, env)
    services = {name: ServiceProcess(name, env, folder) for name in SERVICES}
    try:
        async with asyncio.TaskGroup() as group:
            for service in services.values():
                group.create_task(service.start())
        async with httpx2.AsyncClient(base_url=services["gateway"].url, timeout=30) as http:
            yield System(services, http, Log(settings_from(env)))
    except BaseException:
        for service in services.values():
            print(service.last_lines())
        raise
    finally:
        await asyncio.gather(*(service.stop() for service in services.values() if service.running))


def migrate(env: Mapping[str, str]) -> None:
    """Memory's schema, in the namespace of `env`."""
    done = subprocess.run(
        [sys.executable, "-m", "clew.memory", "migrate"],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
