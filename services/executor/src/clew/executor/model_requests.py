"""How a model request is written down: what is new since the last one, hashes of what stays the same, what it took.

A request repeats the whole conversation, so journaling it whole would make a run's cost grow with the square of its
length. What earlier events of the run hold already is named and not copied: responses, tool results, the history.
It sends nothing and knows no journal.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from math import isfinite
from typing import Any, cast

from pydantic import JsonValue
from pydantic_ai.durable_exec import JSON_CODEC
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelRequestPart, ModelResponse, ToolReturnPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_json, to_jsonable_python

from clew.contracts.usage import Usage

MOST_TOKENS = 2**53 - 1  # of one request; every reader of JSON has room for it, and the sum of many is a bigint
_NOT_COPIED = {"content", "metadata"}  # of a tool result: its own call's completion holds them


class RequestLog:
    """Describes the model requests of one agent run, one after the other.

    `history` is the number of messages from before the run. `texts` are the hashes whose texts the journal holds
    already; those that are described here are added to it.
    """

    def __init__(self, history: int, texts: set[str]) -> None:
        self._seen = history
        self._texts = texts
        self._named: dict[str, tuple[bytes, str]] = {}

    def describe(
        self,
        model_name: str,
        messages: Sequence[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> dict[str, JsonValue]:
        """What to write of the next request. `texts` holds what its hashes stand for, where that is new."""
        before, self._seen = min(self._seen, len(messages)), len(messages)
        instructions = "\n\n".join(part.content for part in parameters.instruction_parts or ())
        tools = [_tool(tool) for tool in (*parameters.function_tools, *parameters.output_tools)]
        texts: dict[str, JsonValue] = {}
        return {
            "model": model_name,
            "messages_before": before,
            "messages": [_message(m) for m in messages[before:] if isinstance(m, ModelRequest)],
            "instructions": self._hash("instructions", instructions, texts),
            "tools": self._hash("tools", cast(JsonValue, tools), texts),
            "settings": self._hash("settings", _jsonable(settings) if settings else {}, texts),
            "texts": texts,
        }

    def _hash(self, what: str, value: JsonValue, texts: dict[str, JsonValue]) -> str:
        """The name of a text, from its hash. Hardly one changes from one request of an agent to the next."""
        raw = to_json(value)
        before, name = self._named.get(what, (None, ""))
        if raw != before:
            name = sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            self._named[what] = raw, name
        if name not in self._texts:
            self._texts.add(name)
            texts[name] = value
        return name


def texts_in(request: JsonValue) -> set[str]:
    """The hashes whose texts a request that was described here holds."""
    texts = request.get("texts") if isinstance(request, dict) else None
    return set(texts) if isinstance(texts, dict) else set()


def usage_of(response: JsonValue) -> Usage:
    """What a model request took, from the JSON of its response. The price is None where it is not known."""
    took = cast(dict[str, Any], response)
    usage = cast(dict[str, object], took.get("usage") or {})
    return Usage(
        requests=1,
        input_tokens=_tokens(usage.get("input_tokens")),
        output_tokens=_tokens(usage.get("output_tokens")),
        cost_usd=_price(took),
    )


def in_whole_tokens(response: JsonValue) -> JsonValue:
    """The response of a model with its counts as whole numbers: with fractions it could not be read back."""
    if not isinstance(response, dict) or "usage" not in response:
        return response
    return {**response, "usage": _whole(response["usage"])}


def _whole(count: JsonValue) -> JsonValue:
    if isinstance(count, dict):
        return {name: _whole(part) for name, part in count.items()}
    return int(count) if isinstance(count, float) else count


def _tokens(said: object) -> int:
    """What a server says that it counted, as far as that is a number of tokens."""
    return min(max(int(said), 0), MOST_TOKENS) if isinstance(said, int | float) and isfinite(said) else 0


def _price(took: dict[str, Any]) -> float | None:
    if not took.get("model_name") or not took.get("provider_name"):
        return None
    try:
        return float(cast(ModelResponse, JSON_CODEC.load(ModelResponse, took)).cost().total_price)
    except (LookupError, ValueError):
        return None  # a model without a public price, or a server that counts no tokens


def _tool(tool: ToolDefinition) -> dict[str, JsonValue]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": cast(JsonValue, tool.parameters_json_schema),
    }


def _message(message: ModelRequest) -> JsonValue:
    return [_part(part) for part in message.parts]


def _part(part: ModelRequestPart) -> JsonValue:
    written = cast(dict[str, JsonValue], _jsonable(part))
    if isinstance(part, ToolReturnPart) and part.outcome == "success":
        # Left out when all is written: pydantic-ai writes more beside a content that is there.
        return {name: value for name, value in written.items() if name not in _NOT_COPIED}
    return written


def _jsonable(value: Any) -> JsonValue:
    return cast(JsonValue, to_jsonable_python(value, serialize_unknown=True, exclude_none=True))
