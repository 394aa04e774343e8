"""Options that the commands about events share, and what they ask for."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final, TypeVar
from uuid import UUID

import click

from clew.cli.since import Since
from clew.contracts.registry import BY_CLASS_NAME, BY_NAME
from clew.contracts.topics import load_topics
from clew.ops.entries import Filter

T = TypeVar("T")


class EventType(click.ParamType[str]):
    """A type as it is on the wire (`plan-created`) or in the code (`PlanCreated`)."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = BY_CLASS_NAME[value].type_name() if value in BY_CLASS_NAME else value
        if name not in BY_NAME:
            self.fail(f"{value!r} is no type of event; see contracts/README.md", param, ctx)
        return name


OPTIONS: Final = (
    click.option("--thread", type=click.UUID, metavar="ID", help="Only events of this thread."),
    click.option("--run", type=click.UUID, metavar="ID", help="Only events of this run."),
    click.option("--type", "types", type=EventType(), multiple=True, help="Only this type; may be repeated."),
    click.option("--tenant", metavar="NAME", help="Only events of this tenant."),
    click.option("--since", type=Since(), metavar="WHEN", help="Begin at 15m, 2h or 3d ago, or at a moment."),
    click.option(
        "--topic",
        "topics",
        type=click.Choice([topic.name for topic in load_topics().topics]),
        metavar="NAME",
        multiple=True,
        help="Only this topic; may be repeated.",
    ),
)


def filters(command: Callable[..., T]) -> Callable[..., T]:
    """Options that say which events are asked for; the command gets them as `wanted`, and the `topics` to read."""

    @wraps(command)
    def with_filter(
        *args: Any,
        thread: UUID | None,
        run: UUID | None,
        types: tuple[str, ...],
        tenant: str | None,
        since: datetime | None,
        topics: tuple[str, ...],
        **others: Any,
    ) -> T:
        wanted = Filter(_text(thread), _text(run), types, tenant, since)
        return command(*args, wanted=wanted, topics=topics_for(topics, types), **others)

    for option in reversed(OPTIONS):
        with_filter = option(with_filter)
    return with_filter


def topics_for(topics: tuple[str, ...], types: tuple[str, ...]) -> tuple[str, ...]:
    """The topics that have to be read: the named ones, else those that carry the types, else all."""
    if topics:
        return topics
    listed = load_topics()
    if types:
        return tuple({listed.carrying(BY_NAME[name]).name: None for name in types})
    return tuple(topic.name for topic in listed.topics)


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)
