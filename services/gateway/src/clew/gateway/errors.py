"""Problems as clients see them: one small class per status, rendered as RFC 9457 problem details.

    400 Malformed            401 Unauthenticated       403 Forbidden          404 NotFound       405 (the router's own)
    409 Conflict             410 Torn                  413 TooLarge           415 WrongMediaType
    422 Invalid              429 TooMany
    503 Unavailable (nothing happened; try again)      503 OutcomeUnknown (it may be in the log; safe to repeat)

Not the words of the log itself (`clew.chassis.errors`) nor of the views: those are translated in `translate`.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar, cast

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, JsonValue
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from clew.chassis.errors import LogUnreachable
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Torn as EventMissing

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}  # seconds; a broker that was killed is back in about three
OUTAGES = (LogUnreachable, ViewsUnavailable)  # what the log and the views raise when they are away
OPENAI = "/v1/chat/completions"  # its clients read the member `error`, beside which a problem is still one
GONE = "The run is gone: its thread was deleted."  # while somebody waited for what it says
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="clew"'}


class FieldError(BaseModel):
    """What is wrong with one part of a request. `pointer`: `#/…` into the body, else `query/…`, `header/…`."""

    pointer: str
    detail: str


class Problem(HTTPException):
    """Base of all. `detail` is for people; `errors` name fields; `more` are extension members of the problem."""

    status: ClassVar[int]
    slug: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        more: Mapping[str, JsonValue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(self.status, detail, headers)
        self.errors = errors
        self.more = more or {}

    def document(self, instance: str | None = None) -> dict[str, JsonValue]:
        """The problem as RFC 9457 has it."""
        return _document(self.status, self.slug, str(self.detail), self.errors, self.more, instance)


class Malformed(Problem):
    """The request cannot be read at all."""

    status, slug = 400, "malformed"


class Unauthenticated(Problem):
    status, slug = 401, "unauthenticated"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=CHALLENGE)


class Forbidden(Problem):
    status, slug = 403, "forbidden"


class NotFound(Problem):
    """There is no such thing, or it belongs to another tenant: nobody can tell which."""

    status, slug = 404, "not-found"


class Conflict(Problem):
    status, slug = 409, "conflict"


class Torn(Problem):
    """An event of the run is missing for ever: its record was put aside. `resume_after` is the place behind it."""

    status, slug = 410, "torn"

    @classmethod
    def of(cls, missing: EventMissing) -> "Torn":
        detail = "An event of the run cannot be shown: its record could not be read. The rest is behind `resume_after`."
        return cls(detail, more={"resume_after": str(missing.resume_after)})


class TooLarge(Problem):
    status, slug = 413, "too-large"


class WrongMediaType(Problem):
    status, slug = 415, "unsupported-media-type"


class Invalid(Problem):
    """Readable, and some fields are wrong: `errors` says which."""

    status, slug = 422, "invalid"

    @classmethod
    def field(cls, pointer: str, detail: str) -> "Invalid":
        return cls(f"{pointer}: {detail}", errors=[FieldError(pointer=pointer, detail=detail)])


class TooMany(Problem):
    status, slug = 429, "too-many"


class Unavailable(Problem):
    """Nothing was done: a part of the platform is away or behind. Try again."""

    status, slug = 503, "unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=RETRY_AFTER)


class OutcomeUnknown(Problem):
    """The log did not acknowledge in time. The record may be there; repeating it under the same key is safe."""

    status, slug = 503, "outcome-unknown"

    def __init__(self, detail: str, ids: Mapping[str, str]) -> None:
        super().__init__(detail, more={"outcome": "unknown", **ids}, headers=RETRY_AFTER)


def translate(error: Exception) -> Problem | None:
    """The problem that stands for an outage said in another package's words; None when it is none of them."""
    match error:
        case Problem():
            return error
        case LogUnreachable():
            return Unavailable("The log cannot be reached now; nothing was done.")
        case ViewsUnavailable():
            return Unavailable("The views cannot be read now.")
        case _:
            return None


def respond(problem: Problem, instance: str) -> JSONResponse:
    """The HTTP response of a problem; `instance` is the path that was asked for."""
    document = problem.document(instance)
    if instance == OPENAI:
        document["error"] = {"message": str(problem.detail), "type": problem.slug, "code": problem.slug}
    return JSONResponse(document, problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every error of `app` a problem, those of the framework too."""
    app.add_exception_handler(StarletteHTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for outage in OUTAGES:
        app.add_exception_handler(outage, _on_outage)
    app.add_exception_handler(Exception, _on_bug)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Problem):
        return respond(error, request.url.path)
    assert isinstance(error, StarletteHTTPException)  # the router's own 404 and 405
    slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    document = _document(error.status_code, slug, str(error.detail), (), {}, request.url.path)
    return JSONResponse(document, error.status_code, error.headers, MEDIA_TYPE)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["loc"][0] == "path" for problem in problems):
        return respond(NotFound("There is nothing of that name: ids are UUIDs."), request.url.path)
    places = [(problem["loc"], str(problem["msg"])) for problem in problems]
    return respond(invalid(places, error.body), request.url.path)


def invalid(places: Sequence[tuple[Sequence[str | int], str]], body: object) -> Invalid:
    """The problem of fields that a schema refused: where pydantic found each (`body` first), and why."""
    fields = [FieldError(pointer=_pointer(loc, body), detail=message) for loc, message in places]
    return Invalid("; ".join(f"{field.pointer}: {field.detail}" for field in fields[:3]), errors=fields)


async def _on_outage(request: Request, error: Exception) -> JSONResponse:
    problem = translate(error)
    assert problem is not None
    return respond(problem, request.url.path)


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    # The server re-raises it behind this answer, so that it is logged with its traceback.
    document = _document(500, "internal", "This is a bug of the server.", (), {}, request.url.path)
    return JSONResponse(document, 500, media_type=MEDIA_TYPE)


def _pointer(loc: Sequence[str | int], body: object) -> str:
    """Where pydantic found it, as a pointer. Its path also holds the tags of unions, which the body does not have."""
    place, *path = loc
    if place != "body":
        return "/".join(map(str, loc))
    parts: list[str | int] = []
    for index, part in enumerate(path):
        last = index == len(path) - 1
        container = _children(body) or {}
        child = container.get(part)
        if not last and _children(child) is None:
            continue  # a tag: nothing that goes on lies below it
        if last and _children(body) is None:
            continue  # pydantic names the kind of value that it would have had
        parts.append(part)
        body = child
    return pointer("#", parts)


def pointer(root: str, path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of what lies at `path` below `root`, which is one itself."""
    return root + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _children(node: object) -> dict[str | int, object] | None:
    match node:
        case dict():
            return cast(dict[str | int, object], node)
        case list():
            return dict(enumerate(cast(list[object], node)))
        case _:
            return None


def _document(
    status: int,
    slug: str,
    detail: str,
    errors: Sequence[FieldError],
    more: Mapping[str, JsonValue],
    instance: str | None,
) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {
        "type": f"urn:clew:problem:{slug}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if instance is not None:
        document["instance"] = instance
    if errors:
        document["errors"] = [error.model_dump() for error in errors]
    return document | dict(more)
