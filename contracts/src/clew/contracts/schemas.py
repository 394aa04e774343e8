"""The JSON Schema of each event, as it is committed in `contracts/schemas`. Builds and compares nothing by itself.

A schema says what a reader accepts: unknown fields are ignored at every depth, so objects are open.
"""

import json
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from clew.contracts.envelope import Event

Schema: TypeAlias = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Shows defaults that a factory makes too: a default is part of what an old message means."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        factory = schema.get("default_factory")
        if factory is None or schema.get("default_factory_takes_data"):
            return super().get_default_value(schema)
        return factory()  # type: ignore[call-arg]  # the kind that takes data was sorted out above


class _Untagged(_Generator):
    """Leaves out OpenAPI's `discriminator`, which elsewhere is another thing; the members' constants say as much."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        union = super().tagged_union_schema(schema)
        union.pop("discriminator", None)
        return union


def schema_file(event: type[Event]) -> str:
    """The name of an event's schema and example files: `plan-created.v1.json`."""
    return f"{event.type_name()}.v{event.VERSION}.json"


def schema_of(event: type[Event]) -> Schema:
    """The JSON Schema of what a reader of `event` accepts as a body."""
    generated = _as_read(event.model_json_schema(schema_generator=_Generator))
    return {"$schema": DIALECT, "$id": f"urn:{event.ce_type().replace('.', ':')}", **generated}


def shared_schemas(events: Iterable[type[Event]], ref_template: str) -> dict[str, Schema]:
    """The schemas of events and of all values in them, each once, by the name of its class.

    They refer to each other as `ref_template` says, which has a place for `{model}`, and not as JSON Schemas do: this
    is for a document that holds them all.
    """
    _, found = models_json_schema(
        [(event, "validation") for event in events], ref_template=ref_template, schema_generator=_Untagged
    )
    return _as_read(found["$defs"])


def render(schema: Schema) -> str:
    """A schema as text, the same on every machine."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _as_read(node: Any) -> Any:
    """The node without what binds only those who build events in code (`extra="forbid"`) or says nothing."""
    if isinstance(node, list):
        return [_as_read(item) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    fields = cast(Schema, node).items()
    idle = (("additionalProperties", False), ("minLength", 0))
    return {name: _as_read(value) for name, value in fields if (name, value) not in idle}
