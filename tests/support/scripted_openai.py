"""An OpenAI-compatible server that answers what a test scripts: /v1/chat/completions, /v1/models
and /v1/embeddings.

It runs the real provider code path without a provider. Replies come from a queue (`script`) or from a function
of the request (`answer_with`); when neither has one, the answer is a 400 that says so. Vectors come from `embed_with`.
It is not a model.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self, assert_never, cast

import pytest

from tests.support.http_server import Exchange, Request, serve


@dataclass(frozen=True)
class Text:
    """Plain text, streamed in `pieces` parts of about the same length."""

    content: str
    pieces: int = 4


@dataclass(frozen=True)
class ToolCall:
    """One call of a function, or of an output tool, which is how structured output is asked for."""

    name: str
    arguments: dict[str, Any]
    id: str | None = None


@dataclass(frozen=True)
class ToolCalls:
    """One or more calls in one reply."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True)
class Failure:
    """An error status in OpenAI's shape, with Retry-After when given (seconds)."""

    status: int
    message: str = "scripted failure"
    retry_after: float | None = None


@dataclass(frozen=True)
class HangUp:
    """The beginning of an answer, then the connection is cut."""

    after: str = "Once upon"


@dataclass(frozen=True)
class Garbage:
    """A 200 whose body, or second stream event, is not JSON."""

    body: str = "{this is not json"


@dataclass(frozen=True)
class Delayed:
    """A reply that comes after some seconds."""

    reply: "Reply"
    seconds: float


NO_EMBEDDINGS = Failure(404, "no model for embeddings")
Reply = Text | ToolCalls | Failure | HangUp | Garbage | Delayed


def calls(*tool_calls: ToolCall) -> ToolCalls:
    """A reply of parallel calls."""
    return ToolCalls(tool_calls)


@dataclass(frozen=True)
class ChatRequest:
    """What a client asked for."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"]

    @property
    def tool_names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.body.get("tools", [])]

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, or an empty string."""
        said = [message["content"] for message in self.messages if message["role"] == "user"]
        if not said:
            return ""
        return said[-1] if isinstance(said[-1], str) else " ".join(part.get("text", "") for part in said[-1])

    @property
    def tool_results(self) -> list[str]:
        """What the tools returned since the last user message."""
        results: list[str] = []
        for message in reversed(self.messages):
            if message["role"] == "user":
                break
            if message["role"] == "tool":
                results.insert(0, str(message["content"]))
        return results


@dataclass
class ScriptedOpenAI:
    """The server. Use it as `async with ScriptedOpenAI() as server`, or through the `scripted_openai` fixture."""

    models: tuple[str, ...] = ("scripted-model",)
    requests: list[ChatRequest] = field(default_factory=list[ChatRequest])
    embedded: list[list[str]] = field(default_factory=list[list[str]])
    """The texts of each request for embeddings."""
    url: str = ""
    """The base URL, ending in /v1, once the server is open."""
    _queue: deque[Reply] = field(default_factory=deque[Reply])
    _answer: Callable[[ChatRequest], Reply] | None = None
    _embed: Callable[[str], list[float] | Failure] = lambda _: NO_EMBEDDINGS
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _call_count: int = 0

    def script(self, *replies: Reply) -> None:
        """Adds replies to the queue; each answers one request."""
        self._queue.extend(replies)

    def answer_with(self, function: Callable[[ChatRequest], Reply]) -> None:
        """Answers every request that finds the queue empty with `function`."""
        self._answer = function

    def embed_with(self, function: Callable[[str], list[float] | Failure]) -> None:
        """Gives each text the vector that `function` makes of it; a request fails with any of its texts."""
        self._embed = function

    def reset(self) -> None:
        """Forgets what was scripted and asked, for a server that serves several tests."""
        self._queue.clear()
        self._answer = None
        self._embed = lambda _: NO_EMBEDDINGS
        self.requests.clear()
        self.embedded.clear()

    def environment(self) -> dict[str, str]:
        """The variables that make Clew use this server."""
        return {"CLEW_MODEL": f"openai:{self.models[0]}", "OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "scripted"}

    async def __aenter__(self) -> Self:
        self.url = await self._stack.enter_async_context(serve(self._handle)) + "/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _handle(self, request: Request, exchange: Exchange) -> None:
        if request.path == "/v1/models":
            listed = [{"id": name, "object": "model", "created": 0, "owned_by": "test"} for name in self.models]
            await exchange.send_json(200, {"object": "list", "data": listed})
        elif request.path == "/v1/chat/completions" and request.method == "POST":
            chat = ChatRequest(cast("dict[str, Any]", request.json()), request.headers)
            self.requests.append(chat)
            await self._reply(self._next(chat), chat, exchange)
        elif request.path == "/v1/embeddings" and request.method == "POST":
            self.embedded.append(request.json()["input"])
            await self._send_vectors(self.embedded[-1], exchange)
        else:
            await exchange.send_json(404, _error("no such path"))

    async def _send_vectors(self, texts: list[str], exchange: Exchange) -> None:
        vectors = [self._embed(text) for text in texts]
        for vector in vectors:
            if isinstance(vector, Failure):
                await exchange.send_json(vector.status, _error(vector.message))
                return
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        await exchange.send_json(200, {"object": "list", "data": data[::-1], "model": "scripted", "usage": {}})

    def _next(self, chat: ChatRequest) -> Reply:
        if self._queue:
            return self._queue.popleft()
        return self._answer(chat) if self._answer else Failure(400, "the script has no reply for this request")

    async def _reply(self, reply: Reply, chat: ChatRequest, exchange: Exchange) -> None:
        match reply:
            case Delayed(reply=later, seconds=seconds):
                await asyncio.sleep(seconds)
                await self._reply(later, chat, exchange)
            case Failure(status=status, message=message, retry_after=retry_after):
                headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
                await exchange.send_json(status, _error(message), headers)
            case Garbage(body=body):
                await _send_garbage(body, chat, exchange)
            case HangUp(after=after):
                await _start_and_hang_up(after, chat, exchange)
            case Text() | ToolCalls():
                await self._answer_properly(reply, chat, exchange)
            case _:
                assert_never(reply)

    async def _answer_properly(self, reply: Text | ToolCalls, chat: ChatRequest, exchange: Exchange) -> None:
        if chat.stream:
            await _stream(self._deltas(reply), _finish_reason(reply), exchange)
        else:
            message = {"role": "assistant", **self._message(reply)}
            choice = {"index": 0, "finish_reason": _finish_reason(reply), "message": message}
            await exchange.send_json(200, _completion("chat.completion", [choice]) | {"usage": _USAGE})

    def _message(self, reply: Text | ToolCalls) -> dict[str, Any]:
        if isinstance(reply, Text):
            return {"content": reply.content}
        return {"content": None, "tool_calls": [self._call(call) for call in reply.calls]}

    def _deltas(self, reply: Text | ToolCalls) -> Iterable[dict[str, Any]]:
        if isinstance(reply, Text):
            for piece in _split(reply.content, reply.pieces):
                yield {"content": piece}
            return
        for index, call in enumerate(reply.calls):
            whole = self._call(call)
            arguments = whole["function"]["arguments"]
            opening = {**whole, "index": index, "function": {"name": call.name, "arguments": ""}}
            yield {"tool_calls": [opening]}
            for piece in _split(arguments, 3):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._call_count += 1
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        return {"id": call.id or f"call_{self._call_count}", "type": "function", "function": function}


_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
_EVENT_STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
async def scripted_openai() -> AsyncIterator[ScriptedOpenAI]:
    """A scripted OpenAI-compatible server, open for the length of a test."""
    async with ScriptedOpenAI() as server:
        yield server


async def _stream(deltas: Iterable[dict[str, Any]], finish_reason: str, exchange: Exchange) -> None:
    await exchange.start(200, _EVENT_STREAM)
    await exchange.chunk(_event(_chunk({"role": "assistant", "content": ""})))
    for delta in deltas:
        await exchange.chunk(_event(_chunk(delta)))
    await exchange.chunk(_event(_chunk({}, finish_reason)))
    await exchange.chunk(_event(_completion("chat.completion.chunk", []) | {"usage": _USAGE}))
    await exchange.chunk(b"data: [DONE]\n\n")
    await exchange.finish()


async def _send_garbage(body: str, chat: ChatRequest, exchange: Exchange) -> None:
    if not chat.stream:
        await exchange.send(200, body, {"content-type": "application/json"})
        return
    await exchange.start(200, _EVENT_STREAM)
    await exchange.chunk(_event(_chunk({"role": "assistant", "content": "Once"})))
    await exchange.chunk(f"data: {body}\n\n".encode())
    await exchange.finish()


async def _start_and_hang_up(after: str, chat: ChatRequest, exchange: Exchange) -> None:
    if chat.stream:
        await exchange.start(200, _EVENT_STREAM)
        await exchange.chunk(_event(_chunk({"role": "assistant", "content": after})))
    exchange.hang_up()


def _finish_reason(reply: Text | ToolCalls) -> str:
    return "stop" if isinstance(reply, Text) else "tool_calls"


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return _completion("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": finish_reason}])


def _completion(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": "scripted-model", "choices": choices}


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted", "param": None, "code": None}}


def _split(text: str, pieces: int) -> list[str]:
    size = max(1, -(-len(text) // max(1, pieces)))
    return [text[start : start + size] for start in range(0, len(text), size)]
