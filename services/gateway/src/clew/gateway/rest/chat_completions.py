"""The smallest door for existing programs: OpenAI's chat completions, streamed and not.

A conversation is a thread: the one that `X-Clew-Thread` names, or a new one for each request without it. What a program
tells of an earlier conversation is carried in the message (`clew.gateway.carried`).
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse
from pydantic import JsonValue

from clew.contracts.envelope import Position
from clew.gateway import commands, completions
from clew.gateway.answers import IdempotencyKey
from clew.gateway.auth import Principal
from clew.gateway.bodies import JsonRoute
from clew.gateway.carried import message_of
from clew.gateway.completions import Answer, CompletionCreate
from clew.gateway.deps import Caller, Deps, Given
from clew.gateway.errors import GONE, OUTAGES, NotFound, Problem, Torn, translate
from clew.gateway.reading import show_position, wait_for
from clew.gateway.schemas import MessageAccepted
from clew.gateway.sse import MEDIA_TYPE, EventStream, data, encode
from clew.views.client import ClientEvent
from clew.views.fanout import Torn as EventMissing

ROUTE = "POST /v1/chat/completions"
# OpenAI's clients repeat a 409 and a 503 by themselves, which would begin another run, unless they are told not to.
NOT_AGAIN = {"x-should-retry": "false"}
DONE = b"data: [DONE]\n\n"
ThreadHeader: TypeAlias = Annotated[
    UUID | None,
    Header(alias="X-Clew-Thread", description="The thread to go on with; without it a new one is made"),
]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A `chat.completion`, or with `stream` the chunks of one; thread and run are in its headers",
        "content": {MEDIA_TYPE: {"example": 'data: {"object":"chat.completion.chunk",…}\n\n'}},
    }
}

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JsonRoute)


@router.post("/chat/completions", responses=ANSWERS, response_class=Response)
async def complete(
    deps: Given, caller: Caller, body: CompletionCreate, thread_id: ThreadHeader = None, key: IdempotencyKey = None
) -> Response:
    """An answer in the shape of OpenAI's API. Settings of sampling are not used."""
    accepted, position = await _say(deps, caller, body, thread_id, key)
    headers = {
        "X-Clew-Thread": str(accepted.thread_id),
        "X-Clew-Run": str(accepted.run_id),
        "Clew-Position": show_position(position),
    }
    with _begun(headers):
        await wait_for(deps, position)
        events = deps.views.tenant(caller.tenant_id).follow(accepted.run_id)
        shape = Shape(accepted, body)
        if body.stream:
            return EventStream(encode(_chunks(events, shape), deps.streams, comes_again=False), headers)
        return JSONResponse(await _whole(events, shape), headers=headers)


@contextmanager
def _begun(headers: dict[str, str]) -> Generator[None]:
    """Problems of a run that was begun name it in their headers, and ask nobody to try again."""
    try:
        yield
    except (Problem, *OUTAGES) as error:
        problem = translate(error)
        assert problem is not None
        problem.headers = headers | NOT_AGAIN
        raise problem from error


async def _say(
    deps: Deps, caller: Principal, body: CompletionCreate, thread_id: UUID | None, key: str | None
) -> tuple[MessageAccepted, Position]:
    completions.refuse_empty(body.turns)
    message = message_of(body.turns, known_thread=thread_id is not None, model=body.chosen_model)
    if thread_id is None:
        return await commands.post_first_message(deps, commands.asked(deps, caller, ROUTE, key, message), message)
    ask = commands.asked(deps, caller, f"{ROUTE} {thread_id}", key, message)
    return await commands.post_message(deps, ask, thread_id, message)


class Shape:
    """What all chunks of one answer have in common."""

    def __init__(self, accepted: MessageAccepted, body: CompletionCreate) -> None:
        self._id = f"chatcmpl-{accepted.run_id}"
        self._model = body.model
        self.with_usage = body.stream_options is not None and body.stream_options.include_usage

    def chunk(self, event: ClientEvent, delta: dict[str, JsonValue], reason: str | None = None) -> bytes:
        choice: JsonValue = {"index": 0, "delta": delta, "finish_reason": reason}
        return data({**self._common("chat.completion.chunk", event), "choices": [choice]})

    def usage(self, event: ClientEvent) -> bytes:
        common = self._common("chat.completion.chunk", event)
        return data({**common, "choices": [], "usage": completions.usage_of(event)})

    def whole(self, event: ClientEvent) -> dict[str, JsonValue]:
        message: JsonValue = {"role": "assistant", "content": event.data["output"]}
        choice: JsonValue = {"index": 0, "message": message, "finish_reason": "stop"}
        common = self._common("chat.completion", event)
        return {**common, "choices": [choice], "usage": completions.usage_of(event)}

    def _common(self, kind: str, event: ClientEvent) -> dict[str, JsonValue]:
        return {
            "id": self._id,
            "object": kind,
            "created": int(event.occurred_at.timestamp()),
            "model": self._model,
        }


async def _chunks(events: AsyncGenerator[ClientEvent], shape: Shape) -> AsyncGenerator[bytes]:
    answer, begun = Answer(), False
    async with aclosing(events):
        try:
            async for event in events:
                if not begun:
                    yield shape.chunk(event, {"role": "assistant", "content": ""})
                    begun = True
                if text := answer.on(event):
                    yield shape.chunk(event, {"content": text})
                if (problem := completions.problem_of(event)) is not None:
                    yield _error(problem)
                    return
                if event.final:
                    yield shape.chunk(event, {}, "stop")
                    yield (shape.usage(event) if shape.with_usage else b"") + DONE
                    return
            yield _error(NotFound(GONE))
        except EventMissing as missing:
            yield _error(Torn.of(missing))


async def _whole(events: AsyncGenerator[ClientEvent], shape: Shape) -> dict[str, JsonValue]:
    """The completed answer. Raises the problem of a run that gives none."""
    async with aclosing(events):
        try:
            async for event in events:
                if (problem := completions.problem_of(event)) is not None:
                    raise problem
                if event.final:
                    return shape.whole(event)
        except EventMissing as missing:
            raise Torn.of(missing) from missing
    raise NotFound(GONE)


def _error(problem: Problem) -> bytes:
    """An error as OpenAI's clients expect it within a stream."""
    told: JsonValue = {"message": str(problem.detail), "type": problem.slug, "code": problem.slug, "param": None}
    return data({"error": told})
