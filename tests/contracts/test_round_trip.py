"""What is encoded can be decoded again, whatever it holds; what cannot travel cannot be made."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from clew.contracts.catalogue import HEADERS
from clew.contracts.codec import attributes, decode, encode, event_class
from clew.contracts.conversation import ThreadCreated
from clew.contracts.documents import Chunk
from clew.contracts.envelope import DEEPEST_JSON, Event, carried_as_it_is, derive, of_checked, root_stamp
from clew.contracts.execution import CallStarted, PartitionClaimed
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import Schema, schema_of
from tests.support.events import events

ID = UUID("0ba238f6-ecde-5c9f-a84e-a61a6f60dcf6")
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BRIEF = settings(max_examples=12, deadline=None, derandomize=True, database=None)
SURROGATE = "\ud800"


def thread(**fields: Any) -> ThreadCreated:
    base: dict[str, Any] = {**root_stamp(ID, "acme", NOW), "thread_id": ID, "created_by": "ada"}
    return ThreadCreated.model_validate({**base, **fields})


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_every_event_survives_the_wire(model: type[Event]) -> None:
    @BRIEF
    @given(event=events(model))
    def survives(event: Event) -> None:
        wire = encode(event, source="executor", traceparent="00-00-00-01", claim="c")
        attrs = attributes(wire.headers)
        read = decode(attrs, wire.value)
        assert read == event
        assert type(read) is model
        assert encode(read, source="executor", traceparent="00-00-00-01", claim="c") == wire
        assert wire.key == (event.key.encode() if event.key is not None else None)
        claim = event.claim if isinstance(event, PartitionClaimed) else "c"
        assert (attrs.id, attrs.subject, attrs.claim) == (str(event.event_id), event.subject, claim)

    survives()


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_an_event_of_checked_fields_is_the_one_that_the_constructor_makes(model: type[Event]) -> None:
    @BRIEF
    @given(event=events(model))
    def same(event: Event) -> None:
        made = of_checked(model, dict(event))
        assert (made, hash(repr(made)), type(made)) == (event, hash(repr(event)), model)
        assert encode(made, source="executor") == encode(event, source="executor")
        assert made.model_copy(update={"tenant_id": "other"}) == event.model_copy(update={"tenant_id": "other"})
        with pytest.raises(ValidationError, match="frozen"):
            made.tenant_id = "other"  # pyright: ignore[reportAttributeAccessIssue]
        assert of_checked(model, dict(event)).model_fields_set == model.model_fields.keys()  # the copy has its own

    same()


made_in_python = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(max_size=3) | st.integers(), inside) | st.tuples(inside),
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(value=made_in_python | st.sampled_from([SURROGATE, {SURROGATE: 1}, [float("nan")], 10**5000]))
def test_what_is_carried_as_it_is_no_event_refuses_or_changes(value: Any) -> None:
    call = {"call_id": ID, "call_key": "k", "step_id": "s", "kind": "tool", "name": "n", "attempt": 1}
    fields = {**root_stamp(ID, "acme", NOW), "thread_id": ID, "run_id": ID, "seq": 2, **call, "request": value}
    if carried_as_it_is(value):
        event = CallStarted.model_validate(fields)
        assert event.request == value
        wire = encode(event, source="executor")
        assert decode(attributes(wire.headers), wire.value) == event


@pytest.mark.parametrize("value", [SURROGATE, float("nan"), (1,), {1: 2}, b"", {"a": [float("inf")]}, [[SURROGATE]]])
def test_what_no_event_carries_is_not_carried_as_it_is(value: object) -> None:
    assert not carried_as_it_is(value)


def test_nothing_is_carried_as_it_is_that_is_nested_too_deep() -> None:
    def nested(levels: int) -> object:
        return [nested(levels - 1)] if levels else 1

    assert carried_as_it_is(nested(DEEPEST_JSON))
    assert not carried_as_it_is(nested(DEEPEST_JSON + 1))


@given(parts=st.lists(st.text(st.characters(codec="utf-8")) | st.integers(), min_size=1))
def test_a_derived_id_is_a_uuid_of_version_5(parts: list[object]) -> None:
    derived = derive(ID, *parts)
    assert derived == uuid5(ID, "/".join(map(str, parts)))
    assert (derived.version, derived.is_safe, hash(derived)) == (5, ID.is_safe, hash(UUID(int=derived.int)))


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_fields_of_the_future_are_ignored_at_every_depth(model: type[Event]) -> None:
    schema = schema_of(model)

    @BRIEF
    @given(event=events(model))
    def ignored(event: Event) -> None:
        wire = encode(event, source="executor")
        future = with_future_fields(json.loads(wire.value), schema, schema.get("$defs", {}))
        assert decode(attributes(wire.headers), json.dumps(future).encode()) == event

    ignored()


def with_future_fields(node: Any, schema: Schema, definitions: dict[str, Schema]) -> Any:
    """The body with an unknown field in each object that is a model. Free JSON is left alone."""
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    members: list[Schema] = schema.get("oneOf") or [s for s in schema.get("anyOf", []) if s.get("type") != "null"]
    if members:
        tag = schema.get("discriminator")
        chosen = tag["mapping"][node[tag["propertyName"]]] if tag else None
        return with_future_fields(node, {"$ref": chosen} if chosen else members[0], definitions)
    if isinstance(node, list) and "items" in schema:
        return [with_future_fields(item, schema["items"], definitions) for item in cast(list[Any], node)]
    if isinstance(node, dict) and "properties" in schema:
        fields = cast(dict[str, Any], node)
        known = {name: with_future_fields(v, schema["properties"][name], definitions) for name, v in fields.items()}
        return {**known, "from_the_future": {"deep": [1, None]}}
    return cast(Any, node)


def test_the_future_fields_reach_nested_models() -> None:
    schema = schema_of(event_class("clew.plan-created.v1"))
    body: dict[str, Any] = {"plan": {"steps": [{"on_failure": {}}]}, "history_complete_at": {}}
    changed = with_future_fields(body, schema, schema["$defs"])
    assert json.dumps(changed).count("from_the_future") == 5


@given(st.text())
@BRIEF
def test_words_of_any_script_survive(words: str) -> None:
    event = thread(title=words, metadata={words: [words]})
    wire = encode(event, source="gateway")
    assert decode(attributes(wire.headers), wire.value) == event


@pytest.mark.parametrize(
    "fields",
    [
        {"title": f"a{SURROGATE}b"},
        {"created_by": SURROGATE},
        {"metadata": {"a": SURROGATE}},
        {"metadata": {SURROGATE: "a"}},
        {"metadata": {"a": [{SURROGATE: 1}]}},
        {"tenant_id": SURROGATE},
    ],
)
def test_lone_surrogates_are_refused_when_the_event_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        thread(**fields)
    assert caught.value.errors()[0]["loc"][0] in fields


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_no_string_of_any_event_takes_a_lone_surrogate(model: type[Event]) -> None:
    @settings(BRIEF, max_examples=4)
    @given(event=events(model))
    def refused(event: Event) -> None:
        values = dict(event)
        for name in [name for name, value in values.items() if isinstance(value, str)]:
            with pytest.raises(ValidationError):
                model.model_validate({**values, name: SURROGATE})

    refused()


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), float("-inf"), 10**5000], ids=["nan", "inf", "-inf", "huge"]
)
def test_numbers_that_json_lacks_are_refused_when_the_event_is_made(number: float) -> None:
    with pytest.raises(ValidationError):
        thread(metadata={"a": [number]})


def test_numbers_that_json_lacks_are_refused_in_fields() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Chunk(index=0, start=0, end=1, text="a", embedding=(float("nan"),))


def nested(levels: int) -> JsonValue:
    value: JsonValue = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_json_as_deep_as_allowed_survives_and_one_level_more_is_refused() -> None:
    event = thread(metadata={"a": nested(DEEPEST_JSON - 1)})
    wire = encode(event, source="gateway")
    assert decode(attributes(wire.headers), wire.value) == event
    with pytest.raises(ValidationError, match="levels deep"):
        thread(metadata={"a": nested(DEEPEST_JSON)})
    with pytest.raises(ValidationError):
        thread(metadata={"a": nested(5_000)})


def test_wide_json_is_not_taken_for_deep_json() -> None:
    assert thread(metadata={"a": [[] for _ in range(2 * DEEPEST_JSON)]}).metadata["a"]


def test_moments_are_kept_in_utc_whatever_zone_they_were_told_in() -> None:
    zone = timezone(timedelta(hours=5, minutes=53, seconds=28))
    event = thread(occurred_at=datetime(1900, 1, 1, tzinfo=zone))
    assert event.occurred_at == datetime(1899, 12, 31, 18, 6, 32, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC


@pytest.mark.parametrize("moment", [datetime(1, 1, 1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))])
def test_moments_without_a_zone_or_out_of_range_are_refused(moment: datetime) -> None:
    with pytest.raises(ValidationError):
        thread(occurred_at=moment)


def test_events_are_strict_and_frozen_in_code() -> None:
    with pytest.raises(ValidationError):
        thread(thread_id=str(ID))
    with pytest.raises(ValidationError):
        thread(headline="a slip of the pen")
    with pytest.raises(ValidationError):
        thread().title = "changed"  # type: ignore[misc]  # the point of the test


def test_the_catalogue_names_every_header_that_is_written() -> None:
    written = {name for name, _ in encode(thread(), source="gateway", traceparent="t", claim="c").headers}
    assert written <= {name for name, _, _ in HEADERS}
