"""`clew groups`: how far each service has read, and what holds it up."""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import click
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from clew.chassis.clock import now
from clew.chassis.records import Record, from_kafka
from clew.chassis.settings import ServiceSettings
from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted
from clew.contracts.topics import SERVICES, load_topics
from clew.ops.log import admin, partitions, reader
from clew.ops.settings import asynchronous, settings

ATTEMPTS: Final = 10
STUCK: Final = 60.0  # seconds that the oldest unfinished record has waited
HELP = f"""Show how far each service is behind: records that are not finished, and seconds since the oldest of them was
written, partition by partition, with the key that it belongs to. A partition that has waited for more than
{STUCK:.0f} s is marked; exit code 1 when there is one.

\b
Examples:
  clew groups
  clew groups --all --json | jq 'select(.seconds > 5)'
"""


@dataclass(frozen=True)
class Lag:
    """One partition as one service has read it. `records` from the first unfinished one to the end of the log."""

    service: str
    topic: str
    partition: int
    committed: int | None
    end: int
    records: int
    seconds: float
    oldest_key: str | None

    @property
    def stuck(self) -> bool:
        return self.seconds > STUCK


def lag(
    service: str,
    tp: tuple[str, int],
    committed: int | None,
    ends: tuple[int, int],
    first: Record | None,
    moment: datetime,
) -> Lag:
    """The lag of a partition. `ends`: its first offset and the one to come; `first`: the oldest unfinished record."""
    start = ends[0] if committed is None else max(committed, ends[0])
    records = max(0, ends[1] - start)
    seconds = max(0.0, (moment - first.timestamp).total_seconds()) if records and first else 0.0
    key = first.key.decode(errors="replace") if records and first and first.key is not None else None
    return Lag(service, tp[0], tp[1], committed, ends[1], records, seconds, key)


async def lags(where: ServiceSettings) -> list[Lag]:
    """Every partition that some service consumes."""
    found: list[Lag] = []
    async with reader(where) as consumer, admin(where) as client:
        for service in SERVICES:
            offsets = await _commits(client, where.in_namespace(service))
            committed = {tp: meta.offset for tp, meta in offsets.items() if meta.offset >= 0}
            # What a service reads without its group (capabilities) has no commits and no lag.
            read = [
                t.name for t in load_topics().topics if where.in_namespace(t.name) in {tp.topic for tp in committed}
            ]
            tps = await partitions(where, read)
            found += await _of_service(consumer, where, service, committed, tps)
    return found


async def _commits(client: AIOKafkaAdminClient, group: str) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """A broker that was never asked for a group makes the topic of commits first, and says so until it is there."""
    for _ in range(ATTEMPTS):
        try:
            return await client.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(1)
    return await client.list_consumer_group_offsets(group)


async def _of_service(
    consumer: AIOKafkaConsumer,
    where: ServiceSettings,
    service: str,
    committed: Mapping[TopicPartition, int],
    tps: Sequence[TopicPartition],
) -> list[Lag]:
    begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    found: list[Lag] = []
    for tp in tps:
        start = max(committed.get(tp, 0), begins[tp])
        first = await oldest(consumer, where, tp, start) if start < ends[tp] else None
        bare = tp.topic.removeprefix(f"{where.namespace}.") if where.namespace else tp.topic
        found.append(lag(service, (bare, tp.partition), committed.get(tp), (begins[tp], ends[tp]), first, now()))
    return found


async def oldest(consumer: AIOKafkaConsumer, where: ServiceSettings, tp: TopicPartition, offset: int) -> Record | None:
    """The first record from an offset on. A broker under load takes its time, and without the record nothing would seem
    to wait; None when there is none after `ATTEMPTS` seconds."""
    consumer.assign([tp])
    consumer.seek(tp, offset)
    for _ in range(ATTEMPTS):
        for raws in (await consumer.getmany(tp, timeout_ms=1000, max_records=1)).values():
            return from_kafka(raws[0], where.namespace)
    return None


@click.command(help=HELP)
@click.option("--all", "everything", is_flag=True, help="Also partitions without lag.")
@as_json
@pass_cli
@asynchronous
async def groups(cli: Cli, everything: bool, as_json: bool) -> None:
    found = await lags(settings())
    shown = [one for one in found if everything or one.records]
    if as_json:
        for one in shown:
            cli.out.json(asdict(one) | {"stuck": one.stuck})
    else:
        cli.out.table(("SERVICE", "PARTITION", "BEHIND", "SECONDS", "OLDEST KEY"), [_row(one) for one in shown])
    stuck = [one for one in found if one.stuck]
    if stuck:
        raise NotCompleted(f"{len(stuck)} {'partition is' if len(stuck) == 1 else 'partitions are'} stuck")
    if not as_json:
        cli.err.note(f"{sum(one.records for one in found)} records to go in {len(found)} partitions")


def _row(one: Lag) -> tuple[str, ...]:
    mark = " stuck" if one.stuck else ""
    return (
        one.service,
        f"{one.topic}/{one.partition}",
        str(one.records),
        f"{one.seconds:.1f}{mark}",
        one.oldest_key or "",
    )
