"""The catalogue of events, `contracts/README.md`, as text. What it says comes from the models and `topics.yaml`."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import Schema, schema_file, schema_of
from clew.contracts.topics import Topic, TopicList

HEADERS = (
    ("ce_specversion", "always", "`1.0`"),
    ("ce_id", "always", "the event's id, equal to `event_id` in the body"),
    ("ce_type", "always", "the type with its major version, such as `clew.plan-created.v1`"),
    ("ce_source", "always", "the service that wrote it"),
    ("ce_time", "always", "`occurred_at`"),
    ("ce_subject", "events of a run", "the run's id"),
    ("content-type", "always", "`application/json`"),
    ("traceparent", "when traced", "the W3C trace context of the writer"),
    ("claim", "`task-updates`, `token-deltas`", "the writer's claim on the partition"),
    ("supersedes", "`PartitionClaimed`", "the claim whose place it takes, if there was one"),
    ("ce_dataref", "large bodies", "where the body lies; the record's value is then a claim check"),
)

INTRODUCTION = """\
<!-- Written by python -m clew.contracts.generate. Change the models or topics.yaml instead. -->
# Events

What services say to each other. Each event is a fact in the past tense, made in one place, carried by one topic. The
models are in [src/clew/contracts](src/clew/contracts), the topics in [topics.yaml](topics.yaml); from both come this
page, the JSON Schemas in [schemas](schemas) and the [AsyncAPI document](src/clew/contracts/asyncapi.py) that a running
gateway has under `/asyncapi`. [examples](examples) holds one message of every version, and each of them is decoded in
the tests for ever.

## On the wire

CloudEvents 1.0 in Kafka's binary binding: attributes are headers (UTF-8 text), the value is the event's JSON.

"""

RULES = """
A body over 256 KiB lies in the object store. The record then has the header `ce_dataref`, and its value is
`{"key": …, "size": …, "sha256": …}` of the bytes.

No event holds what JSON or UTF-8 cannot carry: NaN, infinities and lone surrogates are refused when it is made.

## Keys and partitions

Events with one key are read in the order they were written. Every topic keyed by `thread_id` has the same number of
partitions, so partition *p* of each holds the same threads, and one service instance owns all of a thread. There is
no order between topics. `PartitionClaimed` has no key: it is sent to the partition that it claims.

## Versions

- Readers ignore fields they do not know, at every depth, and nothing else.
- Inside a major version only optional fields are added. `python -m clew.contracts.compatibility` compares the models
  with every schema that was committed, and fails on anything that old messages or old readers would not survive.
- Any other change is a new class with the next `VERSION`, an upcaster from the old one that is never deleted, and an
  example of its own. The old version stays readable for ever.
- A type that a reader has never heard of is counted and skipped. A known type of an unknown version is parked.
- A schema of which no message is kept anywhere is withdrawn by naming its blob and the reason in `withdrawn.yaml`.
"""


def catalogue(topics: TopicList) -> str:
    """The whole page."""
    schemas = {event: schema_of(event) for event in EVENTS}
    common = Event.model_json_schema()
    parts = [
        INTRODUCTION + _table(("header", "on", "value"), ((f"`{n}`", on, value) for n, on, value in HEADERS)),
        RULES,
        "\n## Topics\n\n"
        + _table(("topic", "key", "lane", "partitions", "kept", "written by", "read by"), _rows(topics)),
        "\n## Fields of every event\n\n" + _paragraph(common) + _fields(common, frozenset()),
        *(_topic(topic, schemas, frozenset(common["properties"])) for topic in topics.topics),
        "\n## Values\n" + "".join(_values(schemas.values())),
    ]
    return "".join(parts)


def _rows(topics: TopicList) -> Iterator[tuple[str, ...]]:
    for topic in topics.topics:
        partitions = str(topic.partition_count(topics.thread_partitions))
        ends = ", ".join(topic.producers), ", ".join(topic.consumers)
        yield (f"[`{topic.name}`](#{topic.name})", topic.key, topic.lane, partitions, topic.retention, *ends)


def _topic(topic: Topic, schemas: dict[type[Event], Schema], common: frozenset[str]) -> str:
    sections = [_event(event, schemas[event], common) for event in topic.event_types]
    return f"\n## {topic.name}\n\n{topic.about}\n" + "".join(sections)


def _event(event: type[Event], schema: Schema, common: frozenset[str]) -> str:
    file = schema_file(event)
    links = f"`{event.ce_type()}` · [schema](schemas/{file}) · [example](examples/{file})\n\n"
    return f"\n### {event.__name__}\n\n{links}{_paragraph(schema)}{_fields(schema, common)}"


def _values(schemas: Iterable[Schema]) -> Iterator[str]:
    """A section for each type that is part of events, by name."""
    found: dict[str, Schema] = {}
    for schema in schemas:
        found.update(schema.get("$defs", {}))
    for name, schema in sorted(found.items()):
        if "properties" in schema:
            yield f"\n### {name}\n\n{_paragraph(schema)}{_fields(schema, frozenset())}"


def _paragraph(schema: Schema) -> str:
    text = schema.get("description", "")
    return f"{text}\n\n" if text else ""


def _fields(schema: Schema, without: frozenset[str]) -> str:
    required = set(schema.get("required", []))
    rows = [
        (f"`{name}`", type_text(field), "" if name in required else _code(field.get("default")))
        for name, field in schema.get("properties", {}).items()
        if name not in without
    ]
    return _table(("field", "type", "default"), rows) if rows else "No fields of its own.\n"


def type_text(schema: Schema) -> str:
    """A field's type in words, with a link where it has a section of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    union: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    if union:
        return " or ".join(type_text(member) for member in union)
    if "enum" in schema or "const" in schema:
        return ", ".join(_code(value) for value in schema.get("enum") or [schema["const"]])
    return _plain(schema)


def _plain(schema: Schema) -> str:
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}))}" + _limits(schema, "minItems", "maxItems")
    if kind == "object":
        return "JSON object"
    text = schema.get("format") or kind
    return (
        text + _limits(schema, "minimum", "maximum") + (f" like `{schema['pattern']}`" if "pattern" in schema else "")
    )


def _limits(schema: Schema, low: str, high: str) -> str:
    if low in schema and high in schema:
        return f", {schema[low]} to {schema[high]}"
    return f", {schema[low]} or more" if low in schema else f", at most {schema[high]}" if high in schema else ""


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
