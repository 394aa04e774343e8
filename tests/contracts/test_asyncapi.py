"""The AsyncAPI document says what the log holds: the same topics, services, events, keys, headers and bodies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from faststream.specification.asyncapi.v3_0_0.schema.schema import ApplicationSchema
from jsonschema import Draft7Validator, FormatChecker

from clew.contracts.asyncapi import asyncapi
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import schema_file, schema_of
from clew.contracts.topics import load_topics, topic_of

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
DOCUMENT = asyncapi(load_topics(), "1.2.3")
MESSAGES: dict[str, dict[str, Any]] = DOCUMENT["components"]["messages"]


def nodes(node: object) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        found = cast(dict[str, Any], node)
        yield found
        for item in found.values():
            yield from nodes(item)
    elif isinstance(node, list):
        for item in cast(list[Any], node):
            yield from nodes(item)


def at(ref: str) -> dict[str, Any]:
    """What a reference leads to. KeyError when that is nowhere."""
    place: Any = DOCUMENT
    for name in ref.removeprefix("#/").split("/"):
        place = place[name]
    return place


def test_another_implementation_reads_it() -> None:
    read = ApplicationSchema.model_validate(DOCUMENT)
    assert (read.asyncapi, read.info.version) == ("3.0.0", "1.2.3")
    sends = {(name, operation.action.value) for name, operation in read.operations.items()}
    assert ("planner-sends-plans", "send") in sends
    assert ("executor-receives-plans", "receive") in sends
    kept = {name: channel.model_dump(exclude_none=True)["bindings"]["kafka"] for name, channel in read.channels.items()}
    assert {name: (kafka["topic"], kafka["partitions"]) for name, kafka in kept.items()} == {
        topic.name: (topic.name, topic.partition_count(12)) for topic in load_topics().topics
    }


def test_every_reference_leads_somewhere() -> None:
    refs = [node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node]
    assert len(refs) > 3 * len(EVENTS)
    for ref in refs:
        assert ref.startswith("#/"), ref
        at(ref)


def test_topics_services_and_events_are_those_of_the_list() -> None:
    for topic in load_topics().topics:
        channel = DOCUMENT["channels"][topic.name]
        assert [at(message["$ref"])["title"] for message in channel["messages"].values()] == list(topic.events)
        ends = [
            (operation["action"], operation["tags"][0]["name"])
            for operation in DOCUMENT["operations"].values()
            if at(operation["channel"]["$ref"]) is channel
        ]
        assert ends == [("send", name) for name in topic.producers] + [("receive", name) for name in topic.consumers]
    assert MESSAGES.keys() == {event.__name__ for event in EVENTS}


def test_how_long_topics_are_kept_is_said_as_kafka_has_it() -> None:
    said = {name: channel["bindings"]["kafka"]["topicConfiguration"] for name, channel in DOCUMENT["channels"].items()}
    assert said["plans"] == {"cleanup.policy": ["delete"], "retention.ms": -1}
    assert said["token-deltas"] == {"cleanup.policy": ["delete"], "retention.ms": 3_600_000}
    assert said["capabilities"] == {"cleanup.policy": ["compact"]}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_example_fits_what_is_said_of_its_message(event: type[Any]) -> None:
    example = json.loads((EXAMPLES / schema_file(event)).read_text(encoding="utf-8"))
    message = MESSAGES[event.__name__]
    body = Draft7Validator({**DOCUMENT, **message["payload"]}, format_checker=FormatChecker())
    body.validate(example["body"])
    assert not body.is_valid({name: value for name, value in example["body"].items() if name != "event_id"})
    headers = Draft7Validator({**DOCUMENT, "allOf": [at(message["traits"][0]["$ref"])["headers"], message["headers"]]})
    headers.validate(example["headers"])
    assert not headers.is_valid({**example["headers"], "ce_type": "clew.plan-dreamt.v1"})
    assert example["headers"].keys() <= at(message["traits"][0]["$ref"])["headers"]["properties"].keys()
    key = message["bindings"]["kafka"].get("key")
    assert (key and key["description"]) == (topic_of(event).key if example["key"] is not None else None)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_a_body_has_the_fields_of_the_committed_schema(event: type[Any]) -> None:
    said, committed = at(MESSAGES[event.__name__]["payload"]["$ref"]), schema_of(event)
    assert said["properties"].keys() == committed["properties"].keys()
    assert said["required"] == committed["required"]


def test_nothing_says_discriminator_as_openapi_means_it() -> None:
    assert any("discriminator" in node for event in EVENTS for node in nodes(schema_of(event)))
    assert not any("discriminator" in node for node in nodes(DOCUMENT))
