"""The compatibility rules, proven twice: by what is reported, and by models that really cannot read each other."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from pydantic import AwareDatetime, Field, JsonValue, ValidationError, create_model

from clew.contracts.breaks import BOTH, MESSAGES, READERS, Break, breaks
from clew.contracts.conversation import UserMessageReceived
from clew.contracts.documents import ChunksEmbedded
from clew.contracts.envelope import Event, Slug, Value
from clew.contracts.execution import CallStarted, CapabilitiesAnnounced, RunCompleted
from clew.contracts.planning import PlanCreated
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import Schema, schema_of

ID = UUID("0ba238f6-ecde-5c9f-a84e-a61a6f60dcf6")
BASE = {"event_id": ID, "tenant_id": "acme", "occurred_at": datetime(2026, 3, 2, tzinfo=UTC), "correlation_id": ID}


class Apple(Value):
    kind: Literal["apple"] = "apple"


class Pear(Value):
    kind: Literal["pear"] = "pear"


class Plum(Value):
    kind: Literal["plum"] = "plum"


Fruit = Annotated[Apple | Pear, Field(discriminator="kind")]
MoreFruit = Annotated[Apple | Pear | Plum, Field(discriminator="kind")]


class Box(Value):
    size: int


class BiggerBox(Value):
    size: int
    colour: str = "brown"


class BoxWithLid(Value):
    size: int
    lid: str


def probe(**fields: Any) -> type[Event]:
    return create_model("Probe", __base__=Event, **fields)


def found(old: dict[str, Any], new: dict[str, Any]) -> list[Break]:
    return breaks(schema_of(probe(**old)), schema_of(probe(**new)))


def reads(fields: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether a reader with these fields can read a message with this body."""
    message = json.dumps({**{name: str(value) for name, value in BASE.items()}, **body})
    try:
        probe(**fields).model_validate_json(message, extra="ignore")
    except ValidationError:
        return False
    return True


# name: (fields before, fields after, who is hurt, a body that only the other side can read)
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str, dict[str, Any]]] = {
    "a required field is added": ({}, {"a": (str, ...)}, MESSAGES, {}),
    "a field is no longer optional": ({"a": (str, "x")}, {"a": (str, ...)}, MESSAGES, {}),
    "a field may be missing": ({"a": (str, ...)}, {"a": (str, "x")}, READERS, {}),
    "a required field is removed": ({"a": (str, ...)}, {}, BOTH, {}),
    "an enum value is added": ({"a": Literal["x"]}, {"a": Literal["x", "y"]}, READERS, {"a": "y"}),
    "an enum value is removed": ({"a": Literal["x", "y"]}, {"a": Literal["x"]}, MESSAGES, {"a": "y"}),
    "an enum opens": ({"a": Literal["x"]}, {"a": str}, READERS, {"a": "z"}),
    "a string becomes an enum": ({"a": str}, {"a": Literal["x"]}, MESSAGES, {"a": "z"}),
    "null is allowed": ({"a": str}, {"a": str | None}, READERS, {"a": None}),
    "null is refused": ({"a": str | None}, {"a": str}, MESSAGES, {"a": None}),
    "an int becomes a float": ({"a": int}, {"a": float}, BOTH, {"a": 1.5}),
    "a string becomes a number": ({"a": str}, {"a": int}, BOTH, {"a": 1}),
    "a string becomes a uuid": ({"a": str}, {"a": UUID}, BOTH, {"a": "x"}),
    "a uuid becomes a moment": ({"a": UUID}, {"a": AwareDatetime}, BOTH, {"a": str(ID)}),
    "a pattern comes": ({"a": str}, {"a": Slug}, BOTH, {"a": "Not A Slug"}),
    "a lower bound rises": ({"a": Annotated[int, Field(ge=0)]}, {"a": Annotated[int, Field(ge=1)]}, MESSAGES, {"a": 0}),
    "a lower bound falls": ({"a": Annotated[int, Field(ge=1)]}, {"a": Annotated[int, Field(ge=0)]}, READERS, {"a": 0}),
    "a lower bound goes": ({"a": Annotated[int, Field(ge=1)]}, {"a": int}, READERS, {"a": -1}),
    "an upper bound comes": ({"a": int}, {"a": Annotated[int, Field(le=9)]}, MESSAGES, {"a": 10}),
    "an upper bound rises": ({"a": Annotated[int, Field(le=8)]}, {"a": Annotated[int, Field(le=9)]}, READERS, {"a": 9}),
    "a list must not be empty": (
        {"a": tuple[int, ...]},
        {"a": Annotated[tuple[int, ...], Field(min_length=1)]},
        MESSAGES,
        {"a": []},
    ),
    "a list becomes a value": ({"a": tuple[int, ...]}, {"a": int}, BOTH, {"a": [1]}),
    "a list's items change": ({"a": tuple[int, ...]}, {"a": tuple[str, ...]}, BOTH, {"a": [1]}),
    "a pair becomes a triple": ({"a": tuple[int, int]}, {"a": tuple[int, int, int]}, BOTH, {"a": [1, 2]}),
    "a map's values change": ({"a": dict[str, int]}, {"a": dict[str, str]}, BOTH, {"a": {"x": 1}}),
    "any JSON becomes a string": ({"a": JsonValue}, {"a": str}, BOTH, {"a": 1}),
    "a union gains a member": ({"a": Fruit}, {"a": MoreFruit}, READERS, {"a": {"kind": "plum"}}),
    "a union loses a member": ({"a": MoreFruit}, {"a": Fruit}, MESSAGES, {"a": {"kind": "plum"}}),
    "a part gains a required field": ({"a": Box}, {"a": BoxWithLid}, MESSAGES, {"a": {"size": 1}}),
    "a part deep inside loses a field": (
        {"a": tuple[BoxWithLid, ...]},
        {"a": tuple[Box, ...]},
        BOTH,
        {"a": [{"size": 1}]},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_reported_and_really_hurts_whom_it_is_said_to_hurt(name: str) -> None:
    old, new, hurt, body = CHANGES[name]
    hurts = {b.hurt for b in found(old, new)}
    assert hurts == {hurt} or (hurt is BOTH and BOTH in hurts)
    assert reads(old, body) != reads(new, body), "the proof shows nothing: both or neither can read the body"
    if hurt is MESSAGES:
        assert reads(old, body)
    if hurt is READERS:
        assert reads(new, body)


ALLOWED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "an optional field is added": ({}, {"a": (str, "x")}, {"a": "y"}),
    "an optional field that may be null is added": ({}, {"a": (str | None, None)}, {"a": None}),
    "an optional list is added": ({}, {"a": (tuple[str, ...], ())}, {"a": ["b"]}),
    "a factory makes the new field's default": (
        {},
        {"a": (dict[str, JsonValue], Field(default_factory=dict))},
        {"a": {}},
    ),
    "a part gains an optional field": ({"a": Box}, {"a": BiggerBox}, {"a": {"size": 1, "colour": "red"}}),
    "a default gains a part's new field": (
        {"a": (Box, Box(size=1))},
        {"a": (BiggerBox, BiggerBox(size=1))},
        {"a": {"size": 1, "colour": "red"}},
    ),
    "a description is written": ({"a": str}, {"a": Annotated[str, Field(description="words")]}, {"a": "x"}),
    "a union's members change places": ({"a": int | str}, {"a": str | int}, {"a": "x"}),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_an_addition_with_a_default_is_allowed_and_both_sides_read_on(name: str) -> None:
    old, new, body = ALLOWED[name]
    assert found(old, new) == []
    assert reads(old, body)
    assert reads(new, body)


def test_a_default_that_changes_its_word_is_a_break() -> None:
    assert [b.path for b in found({"a": (str, "x")}, {"a": (str, "y")})] == ["a"]
    assert found({"a": (tuple[str, ...], ())}, {"a": (tuple[str, ...], ("x",))})
    factories = [Field(default_factory=list[int]), Field(default_factory=lambda: [1])]
    assert found({"a": (list[int], factories[0])}, {"a": (list[int], factories[1])})


def test_a_removed_optional_field_is_a_break_because_its_words_would_be_lost() -> None:
    assert [b.what for b in found({"a": (str, "x")}, {})] == ["the field was removed"]


def test_a_renamed_field_is_told_as_such() -> None:
    assert "renamed to 'b'" in found({"a": (str, ...)}, {"b": (str, ...)})[0].what


def test_a_renamed_class_is_nothing_that_travels() -> None:
    crate = create_model("Crate", __base__=Value, size=int)
    assert found({"a": Box}, {"a": crate}) == []


def test_the_path_leads_to_the_place() -> None:
    new = deepcopy(schema_of(PlanCreated))
    new["$defs"]["Step"]["properties"]["kind"]["enum"].remove("act")
    assert breaks(schema_of(PlanCreated), new) == [Break("plan.steps[].kind", 'the value "act" was removed', MESSAGES)]


def test_a_schema_that_refers_to_itself_is_walked_once() -> None:
    tree: Schema = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}}}
    assert breaks(tree, deepcopy(tree)) == []


def test_a_keyword_that_nobody_here_knows_may_not_change() -> None:
    assert [b.hurt for b in breaks({"type": "string"}, {"type": "string", "contentEncoding": "base64"})] == [BOTH]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_compatible_with_itself(event: type[Event]) -> None:
    assert breaks(schema_of(event), schema_of(event)) == []


# Every single-place change that matters, made to real schemas: none may pass.

MUTATED = (PlanCreated, UserMessageReceived, CapabilitiesAnnounced, ChunksEmbedded, CallStarted, RunCompleted)
CHANGED: dict[str, Any] = {
    "type": "mystery",
    "format": "email",
    "pattern": "^x$",
    "minimum": 7,
    "maximum": 7,
    "minItems": 7,
    "maxItems": 7,
    "const": "other",
    "default": "other",
    "enum": ["other"],
    "items": {"type": "boolean"},
    "additionalProperties": {"type": "boolean"},
    "$ref": "#/$defs/Other",
}


def nodes(schema: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all schemas inside a schema document."""
    if isinstance(schema, dict):
        if not path or path[-1] not in ("properties", "$defs"):
            yield path
        for key, member in cast(Schema, schema).items():
            if key not in ("default", "discriminator"):
                yield from nodes(member, (*path, key))
    elif isinstance(schema, list):
        for index, member in enumerate(cast(list[Any], schema)):
            yield from nodes(member, (*path, index))


def at(schema: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        schema = schema[key]
    return schema


def mutations(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Each wire-relevant change in one place, with its name."""
    for path in nodes(schema):
        for keyword in at(schema, path).keys() & CHANGED.keys():
            yield f"{path} {keyword} changed", _edited(schema, path, keyword, CHANGED[keyword])
            if keyword not in ("$ref", "default"):
                yield f"{path} {keyword} dropped", _edited(schema, path, keyword, None)
        yield from _structural(schema, path)


def _structural(schema: Schema, path: tuple[Any, ...]) -> Iterator[tuple[str, Schema]]:
    node = at(schema, path)
    for union in node.keys() & {"anyOf", "oneOf"}:
        yield f"{path} gains a member", _edited(schema, path, union, [*node[union], {"type": "boolean"}])
        yield f"{path} loses a member", _edited(schema, path, union, node[union][1:])
    if "enum" in node:
        yield f"{path} gains a value", _edited(schema, path, "enum", [*node["enum"], "more"])
        yield f"{path} loses a value", _edited(schema, path, "enum", node["enum"][1:])
    if "properties" not in node:
        return
    required = node.get("required", [])
    yield f"{path} requires more", _edited(schema, path, "required", [*required, "more"])
    for name, field in node["properties"].items():
        rest = {other: node["properties"][other] for other in node["properties"] if other != name}
        yield f"{path} loses {name}", _edited(schema, path, "properties", rest)
        yield f"{path} renames {name}", _edited(schema, path, "properties", {**rest, f"{name}_": field})
        other = [r for r in required if r != name] if name in required else [*required, name]
        yield f"{path} requires {name} otherwise", _edited(schema, path, "required", other)


def _edited(schema: Schema, path: tuple[Any, ...], keyword: str, value: Any) -> Schema:
    changed = deepcopy(schema)
    changed.setdefault("$defs", {})["Other"] = {"type": "boolean"}
    node = at(changed, path)
    node.pop(keyword, None)
    if value is not None:
        node[keyword] = value
    return changed


@pytest.mark.parametrize("event", MUTATED, ids=lambda event: event.__name__)
def test_no_single_change_to_a_real_schema_passes(event: type[Event]) -> None:
    schema = schema_of(event)
    made = list(mutations(schema))
    assert len(made) > 40
    assert [name for name, changed in made if not breaks(schema, changed)] == []


@pytest.mark.parametrize("event", MUTATED, ids=lambda event: event.__name__)
def test_an_optional_field_may_be_added_to_any_object(event: type[Event]) -> None:
    schema = schema_of(event)
    for path in nodes(schema):
        if fields := at(schema, path).get("properties"):
            changed = _edited(schema, path, "properties", {**fields, "more": {"type": "string", "default": ""}})
            assert breaks(schema, changed) == []
