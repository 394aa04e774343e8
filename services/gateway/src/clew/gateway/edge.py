"""What stands before every request: a request id, a trace, the check where it comes from, and who is asking.

It wraps the whole application, so that no route can forget it. Pure ASGI: nothing here reads a body.
"""

import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from clew.chassis.telemetry import TRACEPARENT, current_traceparent, span
from clew.gateway.auth import Authenticator, bearer, is_loopback
from clew.gateway.errors import Forbidden, Problem, Unavailable, respond

PROTECTED = "/v1/"
PORT = re.compile(r":[0-9]+$")
TOKEN_PROTOCOL = "bearer."  # browsers cannot set headers on a WebSocket, so the token may come as a subprotocol
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Gate:
    """Open while the resources that stand before it in the service are: nothing is asked of what is not there."""

    def __init__(self) -> None:
        self.open = False

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open = False


class Origins:
    """Which web pages may call: those of this host itself, and those that were named.

    A browser sends the cookies and reaches the loopback address of the person whose page it shows, so a page of
    another site could speak in that person's name. Programs send no Origin and are not asked.
    """

    def __init__(self, allowed: Iterable[str], *, local_only: bool) -> None:
        self._allowed = frozenset(allowed)
        self._local_only = local_only

    def check(self, headers: Headers) -> None:
        """Forbidden for a page of another site, or for a host name that was bent to this machine."""
        host = headers.get("host", "")
        if self._local_only and not is_loopback(PORT.sub("", host)):
            raise Forbidden("Without authentication only a loopback address may be asked for.")
        origin = headers.get("origin")
        if origin is not None and origin not in self._allowed and origin.partition("://")[2] != host:
            raise Forbidden(f"Pages of {origin} may not call this: see CLEW_ALLOWED_ORIGINS.")


class Edge:
    """The outermost application. Under `/v1/` it leaves the `Principal` in the request's state."""

    def __init__(
        self, app: ASGIApp, authenticate: Authenticator, origins: Origins, gate: Gate, new_id: Callable[[], UUID]
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._origins = origins
        self._gate = gate
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        request_id = _sane(REQUEST_ID, headers.get("x-request-id")) or str(self._new_id())
        trace = _sane(TRACEPARENT, headers.get("traceparent")) or self._new_trace()
        with structlog.contextvars.bound_contextvars(request_id=request_id), span("request", trace):
            await self._answer(scope, headers, receive, _marked(send, request_id, current_traceparent() or trace))

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        try:
            self._admit(scope, headers)
        except Problem as problem:
            answer = respond(problem, scope["path"])
            if scope["type"] == "websocket":
                return await WebSocket(scope, receive, send).send_denial_response(answer)
            return await answer(scope, receive, send)
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, headers: Headers) -> None:
        if not scope["path"].startswith(PROTECTED):
            return
        if not self._gate.open:
            raise Unavailable("The gateway is starting or stopping.")
        self._origins.check(headers)
        token = bearer(headers.get("authorization")) or _offered(headers.get("sec-websocket-protocol"))
        scope.setdefault("state", {})["principal"] = self._authenticate(token)

    def _new_trace(self) -> str:
        return f"00-{self._new_id().hex}-{self._new_id().hex[16:]}-00"


def _marked(send: Send, request_id: str, trace: str) -> Send:
    async def send_marked(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = request_id
            headers["traceparent"] = trace
        await send(message)

    return send_marked


def _offered(protocols: str | None) -> str | None:
    names = [name.strip() for name in (protocols or "").split(",")]
    return next((name.removeprefix(TOKEN_PROTOCOL) for name in names if name.startswith(TOKEN_PROTOCOL)), None)


def _sane(pattern: re.Pattern[str], text: str | None) -> str | None:
    return text if text is not None and pattern.fullmatch(text) else None
