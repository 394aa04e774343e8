"""The WebSocket: one session per connection, commands in, events of the runs and threads it subscribed to out.

Events are pulled, one at a time, by whoever can take them: a slow reader costs no memory. One that takes nothing at all
for `SLOW_AFTER` is cut, and told from where to go on. The frames themselves are in `frames`, when each of the streams
of a stopping process ends in `leaving`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope
from starlette.types import Send as SendMessage
from starlette.websockets import WebSocket, WebSocketDisconnect

from clew.gateway import commands, errors, frames, steering_frames
from clew.gateway.auth import Principal
from clew.gateway.deps import Deps
from clew.gateway.errors import OUTAGES, Conflict, Invalid, Problem, TooMany, translate
from clew.gateway.frames import Cancel, Ping, Send, Subscribe, Unsubscribe
from clew.gateway.news import Mailbox
from clew.gateway.reading import find_run, find_thread, parse_cursor, place_in
from clew.gateway.schemas import CancelCreate, MessageCreate
from clew.gateway.steering_frames import Approve, Steer
from clew.views.client import ClientEvent
from clew.views.cursor import Cursor
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Torn
from clew.views.live import GONE
from clew.views.models import RunHead
from clew.views.tenant import TenantViews

PATH = "/v1/ws"
PROTOCOL = "clew.v1"
MAX_SUBSCRIPTIONS = 64  # of one connection
SLOW_AFTER = 5.0  # seconds in which not one frame could be handed over
LAST_WORDS = 10.0  # seconds that a slow reader has to hear why it is cut
LOOK_ALONE = 1.0  # seconds between looks for new runs of a thread while nobody tells of them
LOOK_EVERY = 30.0  # the same while they are told of, for those that got lost
LATEST = 100  # runs of one such look
E = TypeVar("E", bound=Exception)
IDLE_AFTER = 600.0  # seconds in which a client without a subscription has said nothing
IDLE, GOING_AWAY, NOT_TEXT, TRY_LATER = 1000, 1012, 1003, 1013  # close codes


@dataclass
class SessionOver(Exception):
    """Ends a session: with a close code, or None when the client has gone already."""

    code: int | None = None


def beside(app: ASGIApp, deps: Deps) -> ASGIApp:
    """`app`, with the WebSocket beside it: inside, each connection would hold the frames of all its layers for as long
    as it is open, and each message would pass through them."""

    def either(scope: Scope, receive: Receive, send: SendMessage) -> Awaitable[None]:
        if scope["type"] == "websocket" and scope["path"] == PATH:
            return Session(deps, WebSocket(scope, receive, send)).run()
        return app(scope, receive, send)

    return either


class Session:
    """One connection. `run` returns when it is over, and nothing of it is left behind."""

    def __init__(self, deps: Deps, socket: WebSocket) -> None:
        self._deps = deps
        self._caller: Principal = socket.state.principal
        self._socket = socket
        self._turn = asyncio.Lock()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._sent: dict[UUID, str] = {}
        self._code: int | None = None
        self._life = asyncio.timeout(None)  # until the client has been idle for too long, or `_end` is called

    @property
    def _views(self) -> TenantViews:
        return self._deps.views.tenant(self._caller.tenant_id)

    async def run(self) -> None:
        offered: list[str] = self._socket.scope.get("subprotocols", [])
        await self._socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        code: int | None = None
        with self._deps.streams.one(lambda: self._end(GOING_AWAY)):
            try:
                async with asyncio.TaskGroup() as self._tasks:
                    await self._listen()
            except* SessionOver as over:
                code = next((one.code for one in _leaves(over) if one.code is not None), None)
            if code is not None:
                await self._close(code)

    async def _listen(self) -> None:
        try:
            async with self._life:
                while True:
                    self._rest()
                    message = await self._socket.receive()
                    self._live_until(None)
                    await self._hear(message)
        except TimeoutError:
            if not self._life.expired():
                raise
            raise SessionOver(IDLE if self._code is None else self._code) from None

    def _rest(self) -> None:
        """From now on the client is idle, unless it listens."""
        self._live_until(None if self._subscriptions else asyncio.get_running_loop().time() + IDLE_AFTER)

    def _live_until(self, when: float | None) -> None:
        if self._code is None and not self._life.expired():
            with suppress(RuntimeError):  # nobody listens any more
                self._life.reschedule(when)

    async def _hear(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            raise SessionOver
        text: str | None = message.get("text")
        if text is None:
            raise SessionOver(NOT_TEXT)
        frame_id, frame = frames.read(text)
        await (self._say(frames.error(frame_id, frame)) if isinstance(frame, Problem) else self._obey(frame))

    async def _obey(self, frame: frames.ClientFrame) -> None:
        try:
            match frame:
                case Send():
                    await self._send(frame)
                case Subscribe():
                    await self._subscribe(frame)
                case Unsubscribe():
                    await self._unsubscribe(frame)
                case Cancel():
                    await self._cancel(frame)
                case Approve() | Steer():
                    answer = await steering_frames.obey(self._deps, self._caller, frame)
                    await self._say(frames.accepted(frame.id, answer.model_dump(mode="json")))
                case Ping():
                    await self._say(frames.pong(frame.id))
        except (Problem, *OUTAGES) as error:
            problem = translate(error)
            assert problem is not None
            await self._say(frames.error(frame.id, problem))

    async def _send(self, frame: Send) -> None:
        body = MessageCreate(content=frame.content, on_busy=frame.on_busy)
        route = f"POST /v1/threads/{frame.thread_id}/messages"
        ask = commands.asked(self._deps, self._caller, route, frame.idempotency_key, body)
        answer, _ = await commands.post_message(self._deps, ask, frame.thread_id, body)
        await self._say(frames.accepted(frame.id, answer.model_dump(mode="json")))

    async def _cancel(self, frame: Cancel) -> None:
        body = CancelCreate()
        ask = commands.asked(self._deps, self._caller, f"POST /v1/runs/{frame.run_id}/cancel", None, body)
        answer, _ = await commands.cancel_run(self._deps, ask, frame.run_id, body)
        await self._say(frames.accepted(frame.id, answer.model_dump(mode="json")))

    async def _subscribe(self, frame: Subscribe) -> None:
        if frame.id in self._subscriptions:
            raise Conflict(f"There is a subscription {frame.id!r} already.")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise TooMany(f"A connection has at most {MAX_SUBSCRIPTIONS} subscriptions.")
        follow = await self._follower(frame)
        await self._say(frames.accepted(frame.id, {}))
        self._subscriptions[frame.id] = self._tasks.create_task(self._deliver(frame.id, follow), name=frame.id)

    async def _follower(self, frame: Subscribe) -> Callable[[], Coroutine[None, None, None]]:
        """What is to run for the subscription, once it is clear that the caller may see it."""
        if frame.run_id is not None:
            run = await find_run(self._deps, self._caller, frame.run_id)
            after = frame.after if isinstance(frame.after, str) else None
            place = place_in(run, after, "#/after")
            return partial(self._relay, frame.id, run.id, place)  # and not the run itself, which is large
        assert frame.thread_id is not None  # the schema says that it is one of the two
        thread = await find_thread(self._deps, self._caller, frame.thread_id)
        places = _places(frame.after if isinstance(frame.after, dict) else {})
        return partial(self._relay_thread, frame.id, thread.id, places)

    async def _unsubscribe(self, frame: Unsubscribe) -> None:
        task = self._subscriptions.pop(frame.id, None)
        if task is None:
            raise Invalid.field("#/id", f"there is no subscription {frame.id!r}")
        task.cancel()
        await asyncio.wait([task])  # and not the task: a cancellation that comes meanwhile is this session's own
        await self._say(frames.ended(frame.id))

    async def _deliver(self, subscription: str, follow: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await follow()
        except* ViewsUnavailable as outage:
            problem = translate(next(iter(_leaves(outage))))
            assert problem is not None
            await self._say(frames.error(subscription, problem))
        self._subscriptions.pop(subscription, None)
        self._rest()
        await self._say(frames.ended(subscription))

    async def _relay(self, subscription: str, run_id: UUID, after: Cursor | None) -> None:
        try:
            async with aclosing(self._views.follow_batches(run_id, after)) as batches:
                async for batch in batches:
                    await self._say_all(subscription, batch)
                    del batch  # else each viewer would hold a past of its own for as long as nothing new comes
        except Torn as missing:
            await self._say(frames.error(subscription, errors.Torn.of(missing)))

    async def _say_all(self, subscription: str, batch: Sequence[ClientEvent]) -> None:
        for event in batch:
            await self._say(frames.event(subscription, event), event)

    async def _relay_thread(self, subscription: str, thread_id: UUID, places: dict[UUID, Cursor]) -> None:
        """All runs of the thread: open ones side by side, those that have ended one after the other."""
        followed: set[UUID] = set()
        newest: int | None = None  # of the runs that Postgres is asked for: at first all
        with self._deps.news.of(self._caller, thread_id) as mailbox, self._views.new_runs(thread_id, mailbox.tell):
            async with asyncio.TaskGroup() as group:
                while (heads := await self._heads(thread_id, newest)) is not None:
                    for run in sorted(heads, key=lambda run: run.ended):
                        if run.id in followed:
                            continue
                        followed.add(run.id)
                        place = places.get(run.id)
                        if run.ended and place is not None and place.seq >= run.last_seq:
                            continue  # known to its end
                        relay = self._relay(subscription, run.id, place)
                        await relay if run.ended else group.create_task(relay)
                    newest = LATEST
                    async for told in self._told(mailbox):
                        if told not in followed:
                            followed.add(told)
                            group.create_task(self._relay(subscription, told, places.get(told)))

    async def _heads(self, thread_id: UUID, newest: int | None) -> list[RunHead] | None:
        """The newest runs of the thread; None when it was deleted."""
        heads = await self._views.run_heads(thread_id, newest)
        return heads if heads or await self._views.thread(thread_id) is not None else None

    async def _told(self, mailbox: Mailbox) -> AsyncGenerator[UUID]:
        """The runs that somebody tells of, until it is time to look for others, or for the thread itself."""
        now = asyncio.get_running_loop().time
        looked = now()
        while (told := await mailbox.next(now() + LOOK_ALONE)) is not None or (
            self._views.pushed and now() - looked < LOOK_EVERY
        ):
            if told == GONE:
                return
            if told is not None:
                yield told

    async def _say(self, text: str, event: ClientEvent | None = None) -> None:
        async with self._turn:
            too_long = asyncio.get_running_loop().call_later(SLOW_AFTER, self._end, TRY_LATER)
            try:
                await self._socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                raise SessionOver from None
            finally:
                too_long.cancel()
            if event is not None:
                self._sent[event.run_id] = event.cursor

    def _end(self, code: int) -> None:
        if self._code is None:
            self._live_until(asyncio.get_running_loop().time())
            self._code = code

    async def _close(self, code: int) -> None:
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(LAST_WORDS):
                if code == TRY_LATER:
                    await self._socket.send_text(frames.slow_consumer(self._sent))
                await self._socket.close(code)


def _places(after: Mapping[UUID, int | str]) -> dict[UUID, Cursor]:
    """Where each known run goes on. Invalid, naming the run, for what is no place in it."""
    places: dict[UUID, Cursor] = {}
    for run_id, place in after.items():
        text = f"{run_id}:{place}" if isinstance(place, int) else place
        if (cursor := parse_cursor(text, run_id, f"#/after/{run_id}")) is not None:
            places[run_id] = cursor
    return places


def _leaves(group: BaseExceptionGroup[E]) -> Iterator[E]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
