"""What differs between the broker's topics and the list; how far a partition is behind."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from clew.chassis.records import Record
from clew.chassis.settings import ServiceSettings
from clew.cli.main import invoke
from clew.contracts.topics import load_topics
from clew.ops.groups import STUCK, lag, oldest
from clew.ops.topics import Found, differences

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PLANS = load_topics().named("plans")
AS_LISTED = Found(12, PLANS.config)


def test_a_topic_as_listed_has_no_differences() -> None:
    assert differences(PLANS, AS_LISTED, 12) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "missing"),
        (replace(AS_LISTED, partitions=6), "6 partitions, not 12"),
        (replace(AS_LISTED, config=PLANS.config | {"retention.ms": "1000"}), "retention.ms is 1000, not -1"),
        (replace(AS_LISTED, config=PLANS.config | {"cleanup.policy": "compact"}), "cleanup.policy is compact"),
    ],
)
def test_each_difference_is_named(found: Found | None, said: str) -> None:
    [line] = differences(PLANS, found, 12)
    assert line.startswith("plans: ")
    assert said in line


def record(age: float) -> Record:
    return Record("plans", 3, 41, AT - timedelta(seconds=age), b"thread", b"", [])


def test_lag_counts_records_and_the_seconds_since_the_oldest_unfinished_one() -> None:
    behind = lag("executor", ("plans", 3), 41, (0, 50), record(5), AT)
    assert (behind.records, behind.seconds, behind.oldest_key, behind.stuck) == (9, 5.0, "thread", False)


def test_a_partition_that_has_waited_too_long_is_stuck() -> None:
    assert lag("executor", ("plans", 3), 41, (0, 50), record(STUCK + 1), AT).stuck


def test_a_group_that_has_read_everything_is_not_behind() -> None:
    assert lag("executor", ("plans", 3), 50, (0, 50), None, AT).records == 0


class SlowConsumer:
    """A broker's answers: nothing so often, and then a record of `AT`."""

    def __init__(self, nothing: int) -> None:
        self._nothing = nothing

    def assign(self, tps: Sequence[TopicPartition]) -> None:
        self.assigned = tps

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought = (tp, offset)

    async def getmany(
        self, tp: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Any]]:
        self._nothing -= 1
        if self._nothing >= 0:
            return {}
        milliseconds = int(AT.timestamp() * 1000)
        return {
            tp: [ConsumerRecord(tp.topic, tp.partition, self.sought[1], milliseconds, 0, b"k", b"v", None, 1, 1, ())]
        }


@pytest.mark.parametrize(("nothing", "found"), [(0, AT), (3, AT), (1000, None)])
async def test_a_broker_that_takes_its_time_does_not_make_a_stuck_partition_look_well(
    nothing: int, found: datetime | None
) -> None:
    where = ServiceSettings.model_validate({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    consumer: Any = SlowConsumer(nothing)
    record = await oldest(consumer, where, TopicPartition("plans", 3), 41)
    assert (record and record.timestamp) == found


def test_offsets_that_the_log_has_already_dropped_are_not_counted() -> None:
    assert lag("executor", ("plans", 3), 2, (40, 50), record(1), AT).records == 10
    assert lag("executor", ("plans", 3), None, (40, 50), record(1), AT).records == 10


@pytest.mark.parametrize(
    "command",
    ["events tail", "events grep x", "events get plans/0/0", "dlq list", "topics check", "topics create", "groups"],
)
def test_without_the_address_of_the_log_the_variable_is_named(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    assert invoke(command.split()) == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("events get plans/0", "not like task-updates/7/1042"),
        ("events get plans/x/0", "not like task-updates/7/1042"),
        ("events get nothing/0/0", "there is no topic 'nothing'"),
        ("events grep (", "no regular expression"),
        ("events tail --type nothing", "no type of event"),
        ("events tail --since yesterday", "neither like 15m"),
        ("events tail --topic nothing", "nothing"),
        ("dlq redrive --rate 0", "--rate"),
        ("dlq drop", "name records, or choose"),
        (f"dlq drop plans/1/2 --topic plans --run {UUID(int=1)}", "plans/1/2 and --topic, --run"),
        ("dlq redrive plans/1/2 plans/1/3 --reason Malformed", "plans/1/2 plans/1/3 and --reason"),
    ],
)
def test_what_was_typed_wrongly_is_named(command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(command.split()) == 2
    assert said in capsys.readouterr().err
