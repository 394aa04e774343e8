"""Reads back everything that a trial left behind: topics whole, commits, views, what clients were sent."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import psycopg
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clew.chassis import bookmarks
from clew.chassis.records import Record
from clew.contracts.codec import DecodeError
from clew.contracts.envelope import Event
from clew.contracts.topics import load_topics
from clew.memory.rebuild_command import rebuild_from
from clew.memory.settings import Settings
from clew.ops.verify.facts import Lag, Place, Row, fold
from clew.views.names import Schemas
from tests.chaos.clients import Clients
from tests.chaos.facts import Commit, Facts, Json, Streamed
from tests.chaos.script import ScriptedModel
from tests.support.commits import RawCommit, read_commits
from tests.support.log import Log
from tests.support.outside import Outside

GROUPS = ("planner", "executor", "ingestion", "memory")
TOPICS = tuple(topic.name for topic in load_topics().topics if topic.name != "token-deltas")
PAGE = 200


async def facts(
    env: Mapping[str, str],
    log: Log,
    clients: Clients,
    outside: Outside,
    model: ScriptedModel,
    planted: frozenset[Place],
) -> Facts:
    """Call it when all is quiet and all parts are up."""
    rows, statuses = _views(env)
    return Facts(
        sent=tuple(clients.sent),
        log=fold([pair for topic in TOPICS for pair in await _decoded(log, topic)]),
        ledger=outside.entries(),
        effects=outside.effects(),
        asked=tuple(model.asked),
        commits=await _commits(log),
        rows=rows,
        statuses=statuses,
        streams=[Streamed(run, events, await _held(clients, run)) for run, events in clients.streamed.items()],
        torn=tuple(clients.torn),
        lags=await lags(log),
        planted=planted,
        differing=await _differing(env),
    )


async def lags(log: Log) -> list[Lag]:
    """Where each group is with each partition of the topics that it takes part in. What was never committed is at 0."""
    admin = AIOKafkaAdminClient(bootstrap_servers=log.settings.kafka_bootstrap_servers)
    await admin.start()
    found: list[Lag] = []
    try:
        for group in GROUPS:
            offsets = await admin.list_consumer_group_offsets(log.settings.in_namespace(group))
            topics = {tp.topic for tp in offsets}
            for name in (topic for topic in TOPICS if log.settings.in_namespace(topic) in topics):
                for partition, end in (await log.reader.ends(name)).items():
                    meta = offsets.get(TopicPartition(log.settings.in_namespace(name), partition))
                    found.append(Lag(group, name, partition, meta.offset if meta else 0, end))
    finally:
        await admin.close()
    return found


async def _decoded(log: Log, topic: str) -> list[tuple[Record, Event | None]]:
    return [(record, await _event(log, record)) for record in await log.records(topic)]


async def _event(log: Log, record: Record) -> Event | None:
    try:
        return await log.decoder.event(record)
    except DecodeError:
        return None


async def _commits(log: Log) -> list[Commit]:
    names = {log.settings.in_namespace(group): group for group in GROUPS}
    topics = {log.settings.in_namespace(topic): topic for topic in TOPICS}
    return [
        Commit(raw.at, names[raw.group], topics[raw.topic], raw.partition, raw.offset, _above(raw))
        async for raw in read_commits(log.settings.kafka_bootstrap_servers)
        if raw.group in names and raw.topic in topics
    ]


async def _differing(env: Mapping[str, str]) -> Sequence[str]:
    """The rows of memory's tables that a rebuild has otherwise."""
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    settings = Settings.model_validate({name: value for name, value in env.items() if name in known})
    rebuild = rebuild_from(settings, lambda done, total: None)
    verdict = await rebuild.run()
    await rebuild.drop_new()
    return verdict.wrong


def _above(raw: RawCommit) -> frozenset[int]:
    return frozenset(bookmarks.decode(raw.offset, raw.metadata).finished)


def _views(env: Mapping[str, str]) -> tuple[list[Row], dict[UUID, str]]:
    """Through the versioned views, as their owner, whom no row-level rule hides anything from."""
    views = Schemas.of(env["CLEW_NAMESPACE"]).views
    with psycopg.connect(env["DATABASE_URL"], options=f"-c search_path={views}") as connection:
        events = connection.execute("SELECT run_id, seq, event_id, topic, partition, record_offset FROM events")
        rows = [Row(run_id, seq, event_id, tuple(place)) for run_id, seq, event_id, *place in events]  # pyright: ignore[reportArgumentType]  # three columns
        statuses = dict(connection.execute("SELECT run_id, status FROM all_runs").fetchall())
    return rows, statuses


async def _held(clients: Clients, run_id: UUID) -> list[Json]:
    held: list[Json] = []
    while True:
        query = {"limit": PAGE} | ({"after": held[-1]["cursor"]} if held else {})
        page = await clients.get(f"/v1/runs/{run_id}/events", **query)
        held += page["items"]
        if page["next"] is None:
            return held
