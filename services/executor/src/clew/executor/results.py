"""What comes of calls, as the journal can hold it: JSON, of a bounded size, in pydantic-ai's own wire form.

Pure. It makes no call and writes nothing.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from math import isfinite
from typing import Any, cast

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_ai.durable_exec import JSON_CODEC, DurabilityCodec
from pydantic_core import to_json, to_jsonable_python

from clew.contracts.envelope import Json, JsonObject, carried_as_it_is
from clew.executor.calls import JournalCorrupt

MOST_BYTES = 8 * 2**20  # of one result; more would drown any model, and every reader of the journal
_JSON = TypeAdapter[JsonValue](Json)
_MOST_DEPTH = 100  # deeper values are refused later, as no JSON that readers accept


class Unrecordable(Exception):
    """A result that no event can carry, such as NaN: JSON has no word for it."""


class Codec(DurabilityCodec):
    """pydantic-ai's JSON, with failures that nothing takes for a bad argument."""

    def dump(self, tp: Any, value: Any) -> Any:
        _refuse(getattr(value, "result", None))
        return JSON_CODEC.dump(tp, value)

    def load(self, tp: Any, payload: Any) -> Any:
        try:
            return JSON_CODEC.load(tp, payload)
        except ValidationError as error:
            raise JournalCorrupt(f"a recorded result is not what this version reads: {error}") from error


def _refuse(value: object, depth: int = 0) -> None:
    """A generator is serialised by running it, and it may have no end; what is no number would become null."""
    if isinstance(value, float) and not isfinite(value):
        raise Unrecordable(f"{value} has no word in JSON")
    if isinstance(value, Iterator | AsyncIterator):
        kind = type(cast(object, value)).__name__
        raise Unrecordable(f"a {kind} is not a result; return what it gives")
    if depth > _MOST_DEPTH:
        return
    inside: Any = ()
    if isinstance(value, Mapping):
        inside = cast(Mapping[Any, Any], value).values()
    elif isinstance(value, list | tuple | set | frozenset):
        inside = cast(Any, value)
    for item in inside:
        _refuse(item, depth + 1)


def storable(result: JsonValue, most_bytes: int | None = None) -> JsonValue:
    """The result as an event can carry it. A model may answer with half a surrogate pair, which is no text in UTF-8.

    Raises Unrecordable for what cannot be mended, and for what has more than `most_bytes` as JSON.
    """
    stored = result if carried_as_it_is(result) else _mended(result)
    if most_bytes is not None and (size := len(to_json(stored))) > most_bytes:
        raise Unrecordable(f"the result has {size:,} bytes, and a result may have {most_bytes:,}")
    return stored


def _mended(result: JsonValue) -> JsonValue:
    try:
        return _JSON.validate_python(result)
    except ValidationError:
        mended = _without_surrogates(result)
    try:
        return _JSON.validate_python(mended)
    except ValidationError as error:
        raise Unrecordable(error.errors(include_url=False)[0]["msg"]) from error


def shown(arguments: Mapping[str, Any]) -> JsonValue:
    """A tool's arguments for the journal. They are only looked at: a replay takes them from the model's answer."""
    try:
        return storable(cast(JsonValue, to_jsonable_python(arguments, serialize_unknown=True)))
    except Unrecordable:
        return repr(arguments)


def asked_with(request: JsonValue) -> JsonObject:
    """A tool's arguments as `shown`, for a person to look at, and for a reconciler."""
    return request if isinstance(request, dict) else {"arguments": request}


def returned(value: JsonValue) -> JsonValue:
    """What pydantic-ai's journals hold of a tool that returned `value`."""
    return {"kind": "tool_content_result", "result": value}


def _without_surrogates(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case list():
            return [_without_surrogates(item) for item in value]
        case dict():
            return {str(_without_surrogates(name)): _without_surrogates(item) for name, item in value.items()}
        case _:
            return value
