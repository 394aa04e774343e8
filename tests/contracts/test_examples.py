"""One message of every event version, kept for ever: whoever can't read it any more has broken the log."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import JsonValue

from clew.contracts.codec import attributes, decode, encode
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import schema_file
from clew.contracts.topics import topic_of

CONTRACTS = Path(__file__).parents[2] / "contracts"
EXAMPLES = sorted((CONTRACTS / "examples").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_decoded_for_ever(path: Path) -> None:
    message = load(path)
    event = decode(
        attributes([(name, text.encode()) for name, text in message["headers"].items()]),
        json.dumps(message["body"]).encode(),
    )
    assert schema_file(type(event)) == path.name
    assert event.key == message["key"]
    wire = encode(
        event,
        source=message["headers"]["ce_source"],
        traceparent=message["headers"]["traceparent"],
        claim=message["headers"].get("claim"),
    )
    assert {name: raw.decode() for name, raw in wire.headers} == message["headers"]
    assert _holds(json.loads(wire.value), message["body"])


def _holds(now: JsonValue, then: JsonValue) -> bool:
    """Whether everything that the example says is still said; optional fields may have been added since."""
    match now, then:
        case dict(), dict():
            return all(name in now and _holds(now[name], value) for name, value in then.items())
        case list(), list():
            return len(now) == len(then) and all(map(_holds, now, then))
        case _:
            return now == then


def test_every_event_has_an_example() -> None:
    assert {schema_file(event) for event in EVENTS} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_fits_the_committed_schema(path: Path) -> None:
    schema = load(CONTRACTS / "schemas" / path.name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(load(path)["body"])


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_example_comes_from_a_service_that_may_write_it(event: type) -> None:
    message = load(CONTRACTS / "examples" / schema_file(event))
    assert message["headers"]["ce_source"] in topic_of(event).producers


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_says_what_it_means(event: type) -> None:
    assert event.__doc__
    assert load(CONTRACTS / "schemas" / schema_file(event))["description"]
