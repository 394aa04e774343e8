"""People with programs: they send with a key and come again until they are answered, watch runs, and decide.

What the gateway acknowledged is kept in `sent`; what a watcher was sent, over all its connections, in `streamed`; what
a gateway called missing for ever, in `torn`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.chaos.facts import Json, Sent
from tests.chaos.workload import Talk, Turn

PATIENCE = 240.0  # seconds after which a client gives up: no part is away for as long, on a slow machine either
PAUSE = 0.4  # seconds between two tries
FINAL = frozenset({"run.completed", "run.failed", "run.cancelled"})
AWAY = (httpx2.TransportError, OSError)
CUT = (WebSocketException, InvalidHandshake, OSError, TimeoutError)


class GaveUp(AssertionError):
    """A client was not answered for longer than any part was away."""


@dataclass
class Clients:
    """All clients of a trial. `answers` counts what the gateways said, by status; 0 stands for no answer."""

    gateways: Sequence[str]
    sent: list[Sent] = field(default_factory=list[Sent])
    streamed: dict[UUID, list[Json]] = field(default_factory=dict[UUID, list[Json]])
    torn: list[tuple[UUID, str]] = field(default_factory=list[tuple[UUID, str]])
    answers: Counter[int] = field(default_factory=Counter[int])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _turn: "count[int]" = field(default_factory=count)

    async def __aenter__(self) -> "Clients":
        self._http = httpx2.AsyncClient(timeout=15, limits=httpx2.Limits(max_connections=200))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def hold(self, talk: Talk) -> None:
        """Says what a talk says, in order; each message once the one before was taken."""
        await asyncio.sleep(talk.at)
        thread_id: str | None = None
        for turn in talk.turns:
            await asyncio.sleep(turn.after)
            accepted = await self._say(turn, thread_id)
            if accepted is None:
                continue
            thread_id = accepted["thread_id"]
            run_id = UUID(accepted["run_id"])
            self.sent.append(Sent(turn.script.token, run_id, UUID(thread_id), turn.on_busy))
            if turn.watched:
                self.watch(run_id)
            if turn.cancel is not None:
                self._begin(self._cancel(run_id, turn.cancel))

    def watch(self, run_id: UUID) -> None:
        """Follows the run until it ends, by SSE or WebSocket, and by whichever gateway is there."""
        self.streamed[run_id] = []
        self._begin(self._follow_sse(run_id) if run_id.int % 2 else self._follow_socket(run_id))

    async def until_watched(self, seconds: float) -> None:
        """Waits until every stream has come to its end, `seconds` at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in [task for task in self._tasks if task.done()]:
            task.result()

    async def post(self, path: str, body: Json, key: str) -> httpx2.Response:
        """Comes again, at the next gateway, until one says something other than `not now`."""
        headers = {"Idempotency-Key": key}
        return await self._insist("POST", path, json=body, headers=headers)

    async def get(self, path: str, **query: str | int) -> Json:
        response = await self._insist("GET", path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    # -- one client

    async def _say(self, turn: Turn, thread_id: str | None) -> Json | None:
        """The 202's body; None when a busy thread turned the message away at the door."""
        path = f"/v1/threads/{thread_id}/messages" if thread_id else "/v1/messages"
        body = {"content": turn.script.text, "on_busy": turn.on_busy}
        response = await self.post(path, body, turn.script.token)
        if response.status_code == 409 and turn.on_busy == "reject":
            return None
        assert response.status_code == 202, response.text
        return response.json()

    async def _cancel(self, run_id: UUID, after: float) -> None:
        await asyncio.sleep(after)
        response = await self.post(f"/v1/runs/{run_id}/cancel", {}, f"cancel {run_id}")
        assert response.status_code in (202, 409), response.text

    async def _insist(self, method: str, path: str, **request: object) -> httpx2.Response:
        said = "nothing"
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        response = await self._http.request(method, self._gateway() + path, **request)  # type: ignore[arg-type]  # httpx's own names
                    except AWAY as error:
                        self.answers[0] += 1
                        said = repr(error)
                    else:
                        self.answers[response.status_code] += 1
                        if response.status_code not in (429, 503):
                            return response
                        said = f"{response.status_code} {response.text}"
                    await asyncio.sleep(PAUSE)
        except TimeoutError as late:
            raise GaveUp(f"{method} {path}: no answer in {PATIENCE:g} s; the last said {said}") from late

    async def _follow_sse(self, run_id: UUID) -> None:
        events = self.streamed[run_id]
        while not _ended(events):
            query = {"after": events[-1]["cursor"]} if events else {}
            headers = {"Accept": "text/event-stream"}
            url = f"{self._gateway()}/v1/runs/{run_id}/events"
            try:
                async with self._http.stream("GET", url, params=query, headers=headers) as response:
                    if response.status_code == 200:
                        async for line in response.aiter_lines():
                            told: Json = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                            if "cursor" in told:
                                events.append(told)
                            elif told:  # the gateway cuts the stream off, because an event is missing for ever
                                self.torn.append((run_id, str(told)))
            except AWAY:
                self.answers[0] += 1
            await asyncio.sleep(PAUSE)

    async def _follow_socket(self, run_id: UUID) -> None:
        events = self.streamed[run_id]
        while not _ended(events):
            url = f"{self._gateway().replace('http', 'ws')}/v1/ws"
            try:
                async with connect(url, subprotocols=["clew.v1"]) as socket:  # type: ignore[list-item]  # a plain str is a Subprotocol
                    after = events[-1]["cursor"] if events else None
                    await socket.send(
                        json.dumps({"type": "subscribe", "id": "1", "run_id": str(run_id), "after": after})
                    )
                    async for frame in socket:
                        message = json.loads(frame)
                        if message["type"] == "event":
                            events.append(message["event"])
                        elif message["type"] in ("ended", "error"):
                            break
            except CUT:
                self.answers[0] += 1
            await asyncio.sleep(PAUSE)

    def _gateway(self) -> str:
        return self.gateways[next(self._turn) % len(self.gateways)]

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))


def _ended(events: Sequence[Json]) -> bool:
    return bool(events) and events[-1]["type"] in FINAL
