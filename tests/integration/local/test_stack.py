"""The real four parts answer real requests, keep their data, and can be stopped, killed and started one by one."""

import asyncio
import os
import signal
from pathlib import Path
from typing import cast
from urllib.request import Request, urlopen

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from psycopg.sql import SQL, Identifier

from clew.local.home import Home
from clew.local.problems import StackError
from clew.local.redis import Redis
from clew.local.s3 import client
from clew.local.stack import Stack, free_ports
from tests.support.stack import silent

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


async def produce(servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, value, key=b"key")


async def first_record(servers: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id=topic, auto_offset_reset="earliest")
    async with consumer:
        return cast("bytes | None", (await consumer.getone()).value)


async def create_topic(servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def ping(port: int) -> bool:
    return await Redis(Path(), port).program().ready()


async def test_kafka_carries_a_record_to_a_consumer_group(stack_env: dict[str, str], namespace: str) -> None:
    servers, topic = stack_env["KAFKA_BOOTSTRAP_SERVERS"], f"{namespace}.carried"
    await create_topic(servers, topic)
    await produce(servers, topic, b"hello")
    assert await first_record(servers, topic) == b"hello"


def test_postgres_has_vectors_and_an_owner_who_may_create_roles_but_is_no_superuser(stack_env: dict[str, str]) -> None:
    with psycopg.connect(stack_env["DATABASE_URL"]) as connection:
        distance = connection.execute("SELECT '[1,2]'::vector <-> '[1,5]'::vector").fetchone()
        role = connection.execute(
            "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert distance == (3.0,)
    assert role == (False, True)


def test_postgres_refuses_a_wrong_password(stack_env: dict[str, str]) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stack_env["DATABASE_URL"], password="wrong")


async def test_redis_answers_a_ping(stack_env: dict[str, str]) -> None:
    port = int(stack_env["REDIS_URL"].rpartition(":")[2].partition("/")[0])
    assert await ping(port)


def test_s3_takes_a_presigned_put_and_gives_it_back_in_ranges_and_with_metadata(
    stack_env: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    store, bucket, name = client(stack_env), stack_env["S3_BUCKET"], f"{namespace}/object"
    upload = Request(store.presigned_put_object(bucket, name), b"0123456789", method="PUT")
    upload.add_header("Content-Type", "text/plain")
    with urlopen(upload) as answer:
        assert answer.status == 200
    with urlopen(Request(store.presigned_get_object(bucket, name), headers={"Range": "bytes=2-4"})) as answer:
        assert answer.read() == b"234"
    source = tmp_path / "source"
    source.write_bytes(b"with metadata")
    store.fput_object(bucket, f"{name}-2", str(source), metadata={"declared": "fact"})
    assert (store.stat_object(bucket, f"{name}-2").metadata or {})["x-amz-meta-declared"] == "fact"


@pytest.mark.parametrize("end", ["stop_part", "kill_part"])
async def test_kafka_and_postgres_keep_data_and_port_when_one_is_ended_and_started(
    stack: Stack, namespace: str, end: str
) -> None:
    servers, topic = stack.env["KAFKA_BOOTSTRAP_SERVERS"], f"{namespace}.{end.replace('_', '-')}"
    table = Identifier(f"{namespace}_{end}")
    await create_topic(servers, topic)
    await produce(servers, topic, b"kept")
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        connection.execute(SQL("CREATE TABLE {} AS SELECT 7 AS kept").format(table))
    for part in ("kafka", "postgres"):
        await getattr(stack, end)(part)
        await stack.start_part(part)
    assert await first_record(servers, topic) == b"kept"
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        assert connection.execute(SQL("SELECT kept FROM {}").format(table)).fetchone() == (7,)


async def test_a_second_stack_on_the_same_folder_finds_the_data_on_other_ports(tmp_path: Path) -> None:
    home, topic = Home(tmp_path), "survivor"
    with home.claim():
        async with Stack(home, free_ports(), silent) as first:
            await create_topic(first.env["KAFKA_BOOTSTRAP_SERVERS"], topic)
            await produce(first.env["KAFKA_BOOTSTRAP_SERVERS"], topic, b"kept")
            with psycopg.connect(first.env["DATABASE_URL"]) as connection:
                connection.execute("CREATE TABLE survivor AS SELECT 7 AS kept")
            source = tmp_path / "source"
            source.write_bytes(b"kept")
            client(first.env).fput_object("clew", "survivor", str(source))
        async with Stack(home, free_ports(), silent) as second:
            assert await first_record(second.env["KAFKA_BOOTSTRAP_SERVERS"], topic) == b"kept"
            with psycopg.connect(second.env["DATABASE_URL"]) as connection:
                assert connection.execute("SELECT kept FROM survivor").fetchone() == (7,)
            assert client(second.env).stat_object("clew", "survivor").size == 4


async def test_a_part_whose_url_is_given_is_not_started(stack_env: dict[str, str], tmp_path: Path) -> None:
    home = Home(tmp_path)
    given = {name: value for name, value in stack_env.items() if not name.startswith("REDIS")}
    with home.claim():
        async with Stack(home, free_ports(), silent, given=given) as other:
            assert other.part_names == ["redis"]
            assert other.env["DATABASE_URL"] == stack_env["DATABASE_URL"]
            with pytest.raises(StackError, match="kafka does not run in this stack"):
                other.pid("kafka")
    assert not (tmp_path / "postgres").exists()


async def test_a_part_that_cannot_read_its_data_is_named_with_its_last_words(
    stack_env: dict[str, str], tmp_path: Path
) -> None:
    home = Home(tmp_path)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9.6")
    given = {name: value for name, value in stack_env.items() if name != "DATABASE_URL"}
    message = "postgres ended with exit status 2 before it was ready; it last said: .+postgresql.conf"
    with home.claim(), pytest.raises(StackError, match=message):
        async with Stack(home, free_ports(), silent, given=given):
            pytest.fail("Postgres came up on another version's data")


async def test_a_part_that_dies_is_started_again(stack_env: dict[str, str], tmp_path: Path) -> None:
    home, said = Home(tmp_path), list[str]()
    given = {name: value for name, value in stack_env.items() if not name.startswith("REDIS")}
    ports = free_ports()
    with home.claim():
        async with Stack(home, ports, lambda _, line: said.append(line), given=given, restart=True) as other:
            os.kill(other.pid("redis"), signal.SIGKILL)
            async with asyncio.timeout(20):
                while "is up again" not in said:
                    await asyncio.sleep(0.05)
            assert await ping(ports.redis)
    assert "ended with SIGKILL; starting it again in 0.5 s" in said
