"""Operators' commands, the job that makes topics, and a service log in as they are told and do what ACLs let them:
here a broker of their own says no."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from clew.chassis import clock
from clew.chassis.errors import StartError
from clew.chassis.settings import ServiceSettings
from clew.chassis.topics import TopicSettings, create_topics, until_topics_fit
from clew.contracts.conversation import ThreadCreated
from clew.contracts.envelope import root_stamp
from clew.contracts.planning import PlanCreated
from clew.contracts.topics import load_topics
from clew.local.kafka import Kafka
from clew.local.keeper import Keeper
from clew.local.part import Say
from clew.local.problems import free_port
from deploy.manifests.generate import user_resource
from tests.component.ops.test_commands import clew
from tests.support.log import Log, message, settings_from
from tests.support.planning import ANNOUNCED
from tests.support.services import ServiceProcess, running

# aiokafka is typed in part only, and has no word of its own for making ACLs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateUsage=false

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
USERS = {"ops": "right", "guest": "guest", "clew-planner": "plan", "maker": "make"}
# Kafka's numbers for what an ACL says.
KINDS = {"topic": 2, "group": 3}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
OF_THE_JOB = ("Create", "Describe")  # of topics: all that making them takes
LITERAL = ALLOW = 3


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
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[GuardedKafka]:
    broker = GuardedKafka(tmp_path_factory.mktemp("guarded"))
    await asyncio.to_thread(broker.prepare, unheard)
    keeper = Keeper(broker.program(), unheard, unheard, unheard)
    try:
        await keeper.start(restart=False)
        await create_topics(TopicSettings.model_validate(broker.provides()))
        yield broker
    finally:
        await keeper.stop()


@pytest.fixture(scope="module")
def door(broker: GuardedKafka) -> str:
    return f"127.0.0.1:{broker.door}"


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


async def allow(open_door: str, user: str, acls: Sequence[Mapping[str, Any]], namespace: str) -> None:
    """What Strimzi does for a KafkaUser."""
    admin = AIOKafkaAdminClient(bootstrap_servers=open_door)
    await admin.start()
    try:
        for acl in acls:
            kind, name = acl["resource"]["type"], f"{namespace}.{acl['resource']['name']}"
            for operation in acl["operations"]:
                asked = KINDS[kind], name, LITERAL, f"User:{user}", "*", OPERATIONS[operation], ALLOW
                said: Any = await admin._send_request(CreateAclsRequest(*asked))
                assert [code for code, _ in said.creation_responses] == [0], said
    finally:
        await admin.close()


async def test_topics_are_made_and_a_planner_plans_with_the_rights_that_its_manifest_gives_it(
    broker: GuardedKafka, door: str, stack_env: dict[str, str], tmp_path: Path
) -> None:
    open_door, namespace = broker.provides(), f"guarded{clock.new_id().hex[:6]}"
    env = stack_env | {"CLEW_NAMESPACE": namespace, "CLEW_MODEL": "offline", "CLEW_THREAD_PARTITIONS": "2"}
    open_address, topics = open_door["KAFKA_BOOTSTRAP_SERVERS"], load_topics()
    makes = [{"resource": {"type": "topic", "name": topic.name}, "operations": OF_THE_JOB} for topic in topics.topics]
    await allow(open_address, "maker", makes, namespace)
    for module, user in ((("clew.chassis.topics",), as_user(door, "maker", "make")), (("clew.memory", "migrate"), {})):
        run = [sys.executable, "-m", *module]
        await asyncio.to_thread(subprocess.run, run, env=env | user, check=True)
    log = Log(settings_from(env | open_door))
    planner = env | as_user(door, "clew-planner", "plan")
    with pytest.raises(AssertionError, match="does not let clew-planner see"):
        await ServiceProcess("planner", planner, tmp_path / "refused").start()
    plans = user_resource("planner", topics)["spec"]["authorization"]["acls"]
    await allow(open_address, "clew-planner", plans, namespace)
    async with log.as_service("executor") as executor:
        await executor.publish(ANNOUNCED)  # a planner is not ready before it knows whom it plans for
    async with running("planner", planner, tmp_path), log.as_service("gateway") as gateway:
        asked = message("What is 2 + 2?")
        stamp = root_stamp(clock.new_id(), "local", clock.now())
        await gateway.publish(ThreadCreated(**stamp, thread_id=asked.thread_id, created_by="me"))
        await gateway.publish(asked)
        [plan] = await log.wait_for("plans", 1)
    assert isinstance(plan, PlanCreated)
    assert plan.run_id == asked.run_id
