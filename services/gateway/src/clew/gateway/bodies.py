"""Request bodies: read with a limit, parsed strictly, and checked as a tree before any schema sees them.

What a field may hold is `schemas`; this is what no field of any request may hold.
"""

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import JsonValue

from clew.gateway.errors import FieldError, Invalid, Malformed, Problem, TooLarge, WrongMediaType

MAX_BODY = 4 * 1024 * 1024  # bytes; a message of 1 MiB may take three times that when it is escaped as ASCII
MAX_DEPTH = 32  # arrays and objects within each other
MAX_NAMED = 10  # faults listed in one answer
JSON_TYPES = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE)
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")  # C0 but for tab and line ends; halves of surrogates


class JsonRequest(Request):
    """A request whose body is JSON or nothing."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await self._read()
            media_type = self.headers.get("content-type", "").partition(";")[0].strip()
            if self._body and not JSON_TYPES.fullmatch(media_type):
                raise WrongMediaType(f"The body must be application/json, not {media_type or 'of no type'}.")
        return self._body

    async def json(self) -> Any:  # Any: as in the class above
        return parse(await self.body())

    async def _read(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > MAX_BODY:
                raise TooLarge(f"A request body holds at most {MAX_BODY} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)


class JsonRoute(APIRoute):
    """The class of every route here: `APIRouter(route_class=JsonRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


def parse(raw: bytes | str) -> JsonValue:
    """The JSON in `raw`. Malformed when it is none; Invalid, with pointers, for what no text or number may be."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        tree: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except ValueError as error:  # a number of thousands of digits, NaN
        raise Malformed(f"The body is not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    check(tree)
    return tree


def check(tree: JsonValue) -> None:
    """Invalid when the tree is deeper than `MAX_DEPTH`, or a text or number in it is unfit."""
    faults: list[FieldError] = []
    for pointer, detail in _faults(tree):
        faults.append(FieldError(pointer=pointer, detail=detail))
        if len(faults) == MAX_NAMED:
            break
    if faults:
        raise Invalid("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:3]), errors=faults)


def _faults(tree: JsonValue) -> Iterator[tuple[str, str]]:
    open_nodes: list[tuple[str, int, JsonValue]] = [("#", 0, tree)]
    while open_nodes:
        pointer, depth, node = open_nodes.pop()
        if isinstance(node, str):
            if unfit := UNFIT.search(node):
                yield pointer, f"character U+{ord(unfit.group()):04X} cannot be part of a text"
        elif isinstance(node, float) and not math.isfinite(node):
            yield pointer, "the number is too large"
        elif isinstance(node, dict | list):
            if depth == MAX_DEPTH:
                raise _too_deep()
            for name, child in node.items() if isinstance(node, dict) else enumerate(node):
                if isinstance(name, str) and UNFIT.search(name):
                    yield pointer, "a name holds a character that cannot be part of a text"
                    continue
                open_nodes.append((f"{pointer}/{_escape(name)}", depth + 1, child))


def _escape(name: str | int) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _too_deep() -> Problem:
    return Invalid.field("#", f"arrays and objects lie more than {MAX_DEPTH} deep")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
