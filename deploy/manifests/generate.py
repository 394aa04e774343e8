"""Writes the KafkaTopic and KafkaUser resources from `topics.yaml`: who may write and read what, and no more; and the
patches by which each service logs in as its user.

`python -m deploy.manifests.generate` writes them, with `--check` it only says whether they are up to date. It knows
nothing of Strimzi's cluster but its name.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from clew.contracts.topics import SERVICES, Topic, TopicList, load_topics

FOLDER: Final = Path(__file__).parents[1] / "k8s/components/strimzi/generated"
HEADER: Final = (
    "# Written by python -m deploy.manifests.generate. Change contracts/src/clew/contracts/topics.yaml instead.\n"
)
CLUSTER: Final = "clew-kafka"
REPLICAS: Final = 3
IN_SYNC: Final = "2"  # an acked record survives the loss of a broker, and a broker may be away
GROUPS: Final = {
    "gateway": (),  # follows views, consumes nothing
    "planner": ("planner",),
    "executor": ("executor",),
    "ingestion": ("ingestion",),
    "memory": ("memory", "memory-tokens"),
}
STATEFUL: Final = frozenset({"memory"})
PASSWORD: Final = "password"  # the key in a user's Secret
# At takeover the planner reads back the tail of what it has planned, without a group.
READ_BACK: Final = {"planner": ("plans",)}

# What `clew events`, `dlq`, `topics check`, `groups` and `verify` do: look at everything, join no group, and write a
# record again where it was refused. Creating topics is for the list of topics, that is, for these resources.
OPERATOR: Final = "operator"
TOKENS: Final = "token-deltas"

Document = dict[str, Any]  # Any: what a YAML document holds is for its schema to say


def topic_resource(topic: Topic, thread_partitions: int) -> Document:
    spec = {
        "partitions": topic.partition_count(thread_partitions),
        "replicas": REPLICAS,
        "config": {**topic.config, "min.insync.replicas": IN_SYNC},
    }
    return _resource("KafkaTopic", topic.name, spec)


def user_resource(service: str, topics: TopicList) -> Document:
    acls = [_rule("topic", topic.name, operations(service, topic)) for topic in topics.topics]
    acls += [_rule("group", group, ["Describe", "Read"]) for group in GROUPS[service]]
    spec = {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": acls}}
    return _resource("KafkaUser", f"clew-{service}", spec)


def operator_resource(topics: TopicList) -> Document:
    acls = [_rule("topic", topic.name, operator_operations(topic)) for topic in topics.topics]
    acls += [_rule("group", group, ["Describe"]) for groups in GROUPS.values() for group in groups]
    spec = {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": acls}}
    return _resource("KafkaUser", f"clew-{OPERATOR}", spec)


def login(service: str) -> Document:
    """A patch of the service's pods. Strimzi keeps the password of a user in a Secret of the same name."""
    user = f"clew-{service}"
    password = {"secretKeyRef": {"name": user, "key": PASSWORD}}
    env = [{"name": "KAFKA_USER", "value": user}, {"name": "KAFKA_PASSWORD", "valueFrom": password}]
    pod = {"spec": {"containers": [{"name": service, "env": env}]}}
    kind = "StatefulSet" if service in STATEFUL else "Deployment"
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": user}, "spec": {"template": pod}}


def operator_operations(topic: Topic) -> list[str]:
    """What a person who operates Clew may do with a topic. Tokens are gone within the hour: nobody redrives them."""
    return ["Describe", "DescribeConfigs", "Read", *["Write"] * (topic.name != TOKENS)]


def operations(service: str, topic: Topic) -> list[str]:
    """What a service may do with a topic. Every service looks at all of them when it starts, to see that they fit."""
    reads = service in topic.consumers or topic.name in READ_BACK.get(service, ())
    return ["Describe", *["Read"] * reads, *["Write"] * (service in topic.producers)]


def files(topics: TopicList) -> dict[Path, str]:
    """What the generated files should say."""
    return {
        FOLDER / "topics.yaml": _text(topic_resource(topic, topics.thread_partitions) for topic in topics.topics),
        FOLDER / "users.yaml": _text([*(user_resource(s, topics) for s in SERVICES), operator_resource(topics)]),
        # One file each: kustomize before 5.2 takes one patch from a file.
        **{FOLDER / f"login-{service}.yaml": _text([login(service)]) for service in SERVICES},
    }


def stale(wanted: dict[Path, str]) -> list[Path]:
    """The files that say something else, or are not there."""
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]


def _resource(kind: str, name: str, spec: Document) -> Document:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": CLUSTER}}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _rule(kind: str, name: str, allowed: list[str]) -> Document:
    return {"resource": {"type": kind, "name": name, "patternType": "literal"}, "operations": allowed}


def _text(documents: Iterable[Document]) -> str:
    return HEADER + "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)


def main() -> None:
    parser = argparse.ArgumentParser(description="KafkaTopic and KafkaUser resources from the list of topics")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is out of date")
    check: bool = parser.parse_args().check
    wanted = files(load_topics())
    if not check:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    elif paths := stale(wanted):
        sys.exit(f"out of date: {', '.join(map(str, paths))}; run python -m deploy.manifests.generate")


if __name__ == "__main__":
    main()
