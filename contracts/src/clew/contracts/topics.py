"""`topics.yaml`, read and checked: which topic carries an event, and who may write and read it."""

import re
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from clew.contracts.envelope import Event
from clew.contracts.registry import BY_CLASS_NAME

SERVICES = ("gateway", "planner", "executor", "ingestion", "memory")
UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}


class Topic(BaseModel):
    """One row of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z]+(-[a-z]+)*$")
    about: str
    key: str
    lane: Literal["work", "control", "output"]
    partitions: int | Literal["threads"]
    retention: str = Field(pattern=r"^(forever|compacted|\d+[dh])$")
    producers: tuple[Literal["gateway", "planner", "executor", "ingestion", "memory", "operator"], ...]
    consumers: tuple[Literal["gateway", "planner", "executor", "ingestion", "memory"], ...]
    events: tuple[str, ...] = Field(min_length=1)

    @field_validator("events")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in BY_CLASS_NAME]:
            raise ValueError(f"no event class is called {', '.join(unknown)}")
        return names

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        return tuple(BY_CLASS_NAME[name] for name in self.events)

    def partition_count(self, thread_partitions: int) -> int:
        return thread_partitions if self.partitions == "threads" else self.partitions

    @property
    def config(self) -> dict[str, str]:
        """The topic's Kafka settings. Milliseconds, as Kafka counts them."""
        if self.retention == "compacted":
            return {"cleanup.policy": "compact"}
        if self.retention == "forever":
            return {"cleanup.policy": "delete", "retention.ms": "-1"}
        amount, unit = re.fullmatch(r"(\d+)([dh])", self.retention).groups()  # type: ignore[union-attr]  # the field's pattern
        keep = int(amount) * UNITS[unit]
        return {"cleanup.policy": "delete", "retention.ms": str(int(keep.total_seconds() * 1000))}


class TopicList(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    thread_partitions: int = Field(gt=0)
    topics: tuple[Topic, ...]

    def named(self, name: str) -> Topic:
        """The row called `name`. KeyError when there is none."""
        return {topic.name: topic for topic in self.topics}[name]

    def carrying(self, event: type[Event]) -> Topic:
        """The one topic of an event type. KeyError when none names it."""
        return {name: topic for topic in self.topics for name in topic.events}[event.__name__]

    def written_by(self, service: str) -> tuple[Topic, ...]:
        return tuple(topic for topic in self.topics if service in topic.producers)

    def read_by(self, service: str) -> tuple[Topic, ...]:
        return tuple(topic for topic in self.topics if service in topic.consumers)


@cache
def load_topics() -> TopicList:
    """The list as shipped with this package. ValidationError names the row and field that is wrong."""
    return TopicList.model_validate(yaml.safe_load(files("clew.contracts").joinpath("topics.yaml").read_text()))


@cache
def topic_of(event: type[Event]) -> Topic:
    """The topic that carries `event`."""
    return load_topics().carrying(event)
