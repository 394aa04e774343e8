"""Makes the topics of `topics.yaml` on a broker and checks that those which are there fit.

`python -m clew.chassis.topics` does both for the environment it runs in. It never alters a topic that exists.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, for_code
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from clew.chassis.access import LogAccess
from clew.chassis.clock import monotonic
from clew.chassis.errors import StartError
from clew.chassis.settings import Namespace, ServiceSettings
from clew.contracts.topics import Topic, load_topics

WAIT_FOR_BROKER = 60.0  # seconds
ALREADY_EXISTS = 36  # Kafka's error code TOPIC_ALREADY_EXISTS


class TopicSettings(LogAccess):
    """What the one-off job needs to know."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    namespace: Namespace = Field("", validation_alias="CLEW_NAMESPACE", description="As for the services")
    thread_partitions: int = Field(
        load_topics().thread_partitions,
        gt=0,
        validation_alias="CLEW_THREAD_PARTITIONS",
        description="Partitions of the topics that are keyed alike; fixed once they are made",
    )
    replication_factor: int = Field(
        1, gt=0, validation_alias="CLEW_REPLICATION_FACTOR", description="Copies of each partition"
    )

    def in_namespace(self, name: str) -> str:
        return f"{self.namespace}.{name}" if self.namespace else name


async def create_topics(settings: TopicSettings) -> list[str]:
    """Creates the topics that are missing; returns their names once all are there for everybody. StartError when the
    broker refuses one."""
    admin = AIOKafkaAdminClient(**settings.client())
    await admin.start()
    try:
        topics = [_new_topic(topic, settings) for topic in load_topics().topics]
        response = await admin.create_topics(topics)
        created = _created([error[:2] for error in response.topic_errors])  # pyright: ignore[reportAttributeAccessIssue]  # set from the schema
        await _until_shown(admin, [topic.name for topic in topics])
    finally:
        await admin.close()
    return created


def _created(answers: list[tuple[str, int]]) -> list[str]:
    created: list[str] = []
    for name, code in answers:
        if code == 0:
            created.append(name)
        elif code != ALREADY_EXISTS:
            raise StartError(f"the broker refuses to create topic {name}: {for_code(code).__name__}")
    return created


async def _until_shown(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """A broker learns of a topic a moment after its controller has created it."""
    deadline = monotonic() + WAIT_FOR_BROKER
    while missing := [topic["topic"] for topic in await admin.describe_topics(names) if not topic["partitions"]]:
        if monotonic() > deadline:
            raise StartError(f"the broker took the order to create topics, and does not show {', '.join(missing)}")
        await asyncio.sleep(0.1)


def _new_topic(topic: Topic, settings: TopicSettings) -> NewTopic:
    return NewTopic(
        name=settings.in_namespace(topic.name),
        num_partitions=topic.partition_count(settings.thread_partitions),
        replication_factor=settings.replication_factor,
        topic_configs=topic.config,
    )


async def until_topics_fit(settings: ServiceSettings) -> None:
    """Waits for a broker that answers. StartError when none does in time, or when its topics do not fit."""
    deadline = monotonic() + WAIT_FOR_BROKER
    while True:
        admin = AIOKafkaAdminClient(**settings.client())
        try:
            await admin.start()
            names = {settings.in_namespace(topic.name): topic.name for topic in load_topics().topics}
            found = await admin.describe_topics(list(names))
            check_visible(found, settings.kafka_user)
            return check_partitions({names[topic["topic"]]: len(topic["partitions"]) for topic in found})
        except KafkaConnectionError as error:
            if monotonic() > deadline:
                raise StartError(
                    f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: are KAFKA_BOOTSTRAP_SERVERS and "
                    "KAFKA_USER right?"
                ) from error
            await asyncio.sleep(0.5)
        finally:
            await admin.close()


def check_visible(found: Sequence[Mapping[str, Any]], user: str) -> None:
    """StartError when the broker hides topics from us: they would look as if they were missing."""
    if hidden := sorted(
        topic["topic"] for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno
    ):
        raise StartError(f"the broker does not let {user or 'anybody without a user'} see {', '.join(hidden)}")


def check_partitions(counts: dict[str, int]) -> None:
    """StartError when topics are missing or co-partitioned ones differ. `counts`: partitions by name in the list."""
    if missing := sorted(name for name, count in counts.items() if count == 0):
        raise StartError(f"topics are missing: {', '.join(missing)}; run python -m clew.chassis.topics")
    threads = {name: n for name, n in counts.items() if load_topics().named(name).partitions == "threads"}
    if len(set(threads.values())) > 1:
        found = ", ".join(f"{name} has {n}" for name, n in sorted(threads.items()))
        raise StartError(f"topics about threads must have the same number of partitions: {found}")


def main() -> None:
    try:
        created = asyncio.run(create_topics(TopicSettings()))  # type: ignore[call-arg]  # from the environment
    except (StartError, ValidationError) as error:
        sys.exit(str(error))
    print(f"topics: {len(created)} created, {len(load_topics().topics) - len(created)} were there")


if __name__ == "__main__":
    main()
