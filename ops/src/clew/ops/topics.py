"""`clew topics`: what the broker has against what `contracts/topics.yaml` says."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from clew.chassis.settings import ServiceSettings
from clew.chassis.topics import TopicSettings, create_topics
from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted
from clew.contracts.topics import Topic, load_topics
from clew.ops.log import admin, described
from clew.ops.settings import asynchronous, settings

CHECK = """Compare the broker's topics with contracts/topics.yaml: which are missing, have other partitions, or keep
records for another time. Exit code 1 when something differs. Nothing is changed.

\b
Examples:
  clew topics check
  clew topics check --json | jq -r .says
"""
CREATE = """Create the topics that are missing. Those that exist are left as they are. Prints those that it made.

\b
Examples:
  clew topics create
"""
DESCRIBE = """List the topics: partitions, lane, how long they are kept, who writes and reads them.

\b
Examples:
  clew topics describe
  clew topics describe --json | jq 'select(.found.partitions == 1) | .name'
"""
KEPT: Final = ("cleanup.policy", "retention.ms")


@dataclass(frozen=True)
class Found:
    """A topic as the broker has it."""

    partitions: int
    config: Mapping[str, str]


def differences(listed: Topic, found: Found | None, partitions: int) -> list[str]:
    """What is not as the list says, one line each; `partitions` is how many the topics about threads have."""
    if found is None:
        return [f"{listed.name}: missing; clew topics create makes it"]
    lines: list[str] = []
    if found.partitions != (expected := listed.partition_count(partitions)):
        lines.append(f"{listed.name}: {found.partitions} partitions, not {expected}; their number cannot be changed")
    lines += [
        f"{listed.name}: {name} is {found.config.get(name)}, not {value}"
        for name, value in listed.config.items()
        if found.config.get(name) != value
    ]
    return lines


async def on_broker(where: ServiceSettings) -> dict[str, Found]:
    """Our topics that the broker has, by bare name."""
    names = {where.in_namespace(topic.name): topic.name for topic in load_topics().topics}
    async with admin(where) as client:
        counts = {t["topic"]: len(t["partitions"]) for t in await described(client, list(names))}
        there = [name for name, count in counts.items() if count]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
        configs: dict[str, dict[str, str]] = {}
        for response in await client.describe_configs(resources) if resources else []:
            for _, _, _, name, entries in response.resources:  # pyright: ignore[reportAttributeAccessIssue]  # set from the schema
                configs[name] = {entry[0]: entry[1] for entry in entries if entry[0] in KEPT}
    return {names[name]: Found(counts[name], configs.get(name, {})) for name in there}


@click.group()
def topics() -> None:
    """The broker's topics against contracts/topics.yaml."""


@topics.command(help=CHECK)
@as_json
@pass_cli
@asynchronous
async def check(cli: Cli, as_json: bool) -> None:
    found = await on_broker(settings())
    counts = [found[t.name].partitions for t in load_topics().topics if t.partitions == "threads" and t.name in found]
    threads = max(counts, key=counts.count, default=load_topics().thread_partitions)
    lines = [line for topic in load_topics().topics for line in differences(topic, found.get(topic.name), threads)]
    for line in lines:
        if as_json:
            cli.out.json({"topic": line.partition(":")[0], "says": line.partition(": ")[2]})
        else:
            cli.out.text(line)
    if lines:
        raise NotCompleted(f"{len(lines)} {'thing is' if len(lines) == 1 else 'things are'} not as the list says")
    cli.err.note(f"all {len(found)} topics are as contracts/topics.yaml says")


@topics.command(help=CREATE)
@pass_cli
@asynchronous
async def create(cli: Cli) -> None:
    before = await on_broker(settings())
    await create_topics(TopicSettings.model_validate({}))
    for name in (topic.name for topic in load_topics().topics if topic.name not in before):
        cli.out.text(name)


@topics.command(help=DESCRIBE)
@as_json
@pass_cli
@asynchronous
async def describe(cli: Cli, as_json: bool) -> None:
    found = await on_broker(settings())
    rows = [(topic, found[topic.name]) for topic in load_topics().topics if topic.name in found]
    if as_json:
        for topic, there in rows:
            cli.out.json({**topic.model_dump(mode="json"), "found": {"partitions": there.partitions, **there.config}})
        return
    cli.out.table(
        ("TOPIC", "PARTITIONS", "LANE", "KEPT", "WRITTEN BY", "READ BY"),
        [
            (t.name, str(f.partitions), t.lane, t.retention, ", ".join(t.producers), ", ".join(t.consumers))
            for t, f in rows
        ],
    )
