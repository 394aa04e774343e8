"""All events and topics as one AsyncAPI 3.0 document, made from the models and `topics.yaml`. Serves nothing itself."""

from typing import Any

from clew.contracts.catalogue import HEADERS
from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS
from clew.contracts.schemas import Schema, shared_schemas
from clew.contracts.topics import Topic, TopicList

ABOUT = """\
What the services of Clew say to each other over Kafka. Channels are topics; an operation is what one service does with
one, and who sends to a topic need not write every event of it. A deployment may put its namespace before the names of
topics, and may have made those about threads with another number of partitions.

A message is a CloudEvent 1.0 in Kafka's binary binding: attributes are headers, the payload is the record's value. A
payload over 256 KiB lies in the object store: the record has the header `ce_dataref` then, and a claim check as value.
"""
BINDING_VERSION = "0.5.0"
TRAIT = "CloudEvent"


def asyncapi(topics: TopicList, version: str) -> dict[str, Any]:
    """The document, ready to be written as JSON. `version` is that of the contracts.

    Messages and their schemas are called as the event's class is, operations `<service>-sends-<topic>` and
    `<service>-receives-<topic>`. Every `$ref` in it leads to a place in it.
    """
    schemas = shared_schemas(EVENTS, "#/components/schemas/{model}")
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Clew", "version": version, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, topics.thread_partitions) for topic in topics.topics},
        "operations": {name: operation for topic in topics.topics for name, operation in _operations(topic).items()},
        "components": {
            "messages": {
                event.__name__: _message(event, topic.key, schemas[event.__name__])
                for topic in topics.topics
                for event in topic.event_types
            },
            "messageTraits": {TRAIT: _trait()},
            "schemas": schemas,
        },
    }


def _channel(topic: Topic, thread_partitions: int) -> Schema:
    partitions = topic.partition_count(thread_partitions)
    kafka = {"topic": topic.name, "partitions": partitions, "topicConfiguration": _configuration(topic)}
    return {
        "address": topic.name,
        "description": topic.about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.events},
        "tags": [{"name": topic.lane, "description": "The lane in which the topic is read"}],
        "bindings": {"kafka": {**kafka, "bindingVersion": BINDING_VERSION}},
    }


def _configuration(topic: Topic) -> Schema:
    """The topic's Kafka settings in the types that the binding has for them."""
    kept = topic.config
    keep = {"retention.ms": int(kept["retention.ms"])} if "retention.ms" in kept else {}
    return {"cleanup.policy": [kept["cleanup.policy"]], **keep}


def _operations(topic: Topic) -> dict[str, Schema]:
    ends = [("send", service) for service in topic.producers] + [("receive", service) for service in topic.consumers]
    channel = {"$ref": f"#/channels/{topic.name}"}
    return {
        f"{service}-{action}s-{topic.name}": {"action": action, "channel": channel, "tags": [{"name": service}]}
        for action, service in ends
    }


def _message(event: type[Event], key: str, schema: Schema) -> Schema:
    keyed = {"key": {"type": "string", "description": key}} if event.key is not Event.key else {}
    return {
        "name": event.ce_type(),
        "title": event.__name__,
        "summary": schema["description"].partition("\n")[0],
        "headers": {"type": "object", "properties": {"ce_type": {"const": event.ce_type()}}},
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "traits": [{"$ref": f"#/components/messageTraits/{TRAIT}"}],
        "bindings": {"kafka": {**keyed, "bindingVersion": BINDING_VERSION}},
    }


def _trait() -> Schema:
    """What all messages have in common; its headers and those of a message are to be merged."""
    headers = {name: {"type": "string", "description": f"{on}: {value}"} for name, on, value in HEADERS}
    required = [name for name, on, _ in HEADERS if on == "always"]
    return {
        "contentType": "application/json",
        "correlationId": {"location": "$message.payload#/correlation_id", "description": "The event that began it all"},
        "headers": {"type": "object", "properties": headers, "required": required},
    }
