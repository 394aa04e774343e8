"""Operators' commands log in as they are told and do what ACLs let them: here a broker of their own says no."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from clew.chassis.errors import StartError
from clew.chassis.settings import ServiceSettings
from clew.chassis.topics import TopicSettings, create_topics, until_topics_fit
from clew.local.kafka import Kafka
from clew.local.keeper import Keeper
from clew.local.part import Say
from clew.local.problems import free_port
from tests.component.ops.test_commands import clew

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
USERS = {"ops": "right", "guest": "guest"}


class GuardedKafka(Kafka):
    """A broker with a second door: behind it users log in, and only `ops` may do anything."""

    def __init__(self, folder: Path) -> None:
        self.door = free_port()
        super().__init__(folder, free_port())

    def prepare(self, say: Say) -> None:
        super().prepare(say)
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        open_doors = next(line for line in self._properties.read_text().splitlines() if line.startswith("listeners="))
        more = {
            "listeners": f"{open_doors.removeprefix('listeners=')},GUARDED://127.0.0.1:{self.door}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._port},GUARDED://127.0.0.1:{self.door}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
            "listener.name.guarded.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": f"{plain} {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ops;User:ANONYMOUS",
        }
        with self._properties.open("a") as properties:
            properties.writelines(f"\n{name}={value}" for name, value in more.items())


def unheard(*_: object) -> None:
    """What the broker says is not of interest."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    broker = GuardedKafka(tmp_path_factory.mktemp("guarded"))
    await asyncio.to_thread(broker.prepare, unheard)
    keeper = Keeper(broker.program(), unheard, unheard, unheard)
    try:
        await keeper.start(restart=False)
        await create_topics(TopicSettings.model_validate(broker.provides()))
        yield f"127.0.0.1:{broker.door}"
    finally:
        await keeper.stop()


def as_user(door: str, user: str, password: str) -> dict[str, str]:
    login = {"KAFKA_USER": user, "KAFKA_PASSWORD": password, "KAFKA_SASL_MECHANISM": "PLAIN"}
    return {"KAFKA_BOOTSTRAP_SERVERS": door, **login}


COMMANDS = (("topics", "check"), ("events", "grep", "."), ("dlq", "list"), ("groups",))


async def test_a_user_that_may_read_everything_does(door: str) -> None:
    for arguments in (("dlq", "list"), ("groups",)):
        done = await clew(as_user(door, "ops", "right"), *arguments)
        assert done.code == 0, done.err


async def test_a_user_who_may_not_is_told_so_and_not_shown_an_empty_log(door: str) -> None:
    for arguments in COMMANDS:
        done = await clew(as_user(door, "guest", "guest"), *arguments)
        assert (done.code, done.out) == (7, ""), (arguments, done)
        assert "may not do that with the log" in " ".join(done.err.split())


async def test_a_wrong_password_lets_nobody_in(door: str) -> None:
    done = await clew(as_user(door, "ops", "wrong"), "dlq", "list")
    assert (done.code, done.out) == (3, "")
    assert "Authentication failed" in " ".join(done.err.split())


async def test_a_service_whose_user_sees_no_topics_does_not_take_them_for_missing(door: str) -> None:
    with pytest.raises(StartError, match="does not let guest see"):
        await until_topics_fit(ServiceSettings.model_validate(as_user(door, "guest", "guest")))
