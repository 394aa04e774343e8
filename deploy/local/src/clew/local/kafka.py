"""Apache Kafka as one KRaft node (broker and controller in one JVM): small, quick to start, its data durable.

Nothing here produces or consumes: the only client is the readiness probe.
"""

import logging
import signal
from datetime import timedelta
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from clew.local.jars import JAVA_BINARY, fetch
from clew.local.part import Say, part_env, run_once, unfinished, write_properties
from clew.local.problems import Port, free_port
from clew.local.process import Program

# While the broker starts, refused connections are what the probe expects: not news for the log.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"  # any 16 bytes in base64: the node is alone
JVM = (
    *("-Xms64m", "-Xmx256m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    *(
        "-XX:+ExitOnOutOfMemoryError",
        "--sun-misc-unsafe-memory-access=allow",
        "-Dorg.apache.logging.log4j.level=WARN",
    ),
)
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # One node: everything internal has one replica and one partition, which is most of the quick start.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "num.network.threads": "1",
    "num.io.threads": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "offsets.retention.minutes": str(10 * 365 * 24 * 60),  # a stack may lie idle for longer than the usual week
    "auto.create.topics.enable": "false",  # contracts/topics.yaml is the list of topics
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "1000",  # a killed broker is back in 3 s instead of 13
    "broker.heartbeat.interval.ms": "200",
}


class Kafka:
    """The broker of one data folder, on one loopback port; its controller listens on a free one."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._controller_port = free_port()
        self._class_path = ""  # known once prepared
        self._properties = folder / "server.properties"

    @property
    def port(self) -> Port:
        return Port(self._port, "Kafka", "CLEW_KAFKA_PORT")

    def provides(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self._port}"}

    def prepare(self, say: Say) -> None:
        self._class_path = ":".join(str(path) for path in fetch("kafka", say))
        self._folder.mkdir(parents=True, exist_ok=True)
        properties = PROPERTIES | {
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._port}",
            "log.dirs": str(self._folder / "data"),
        }
        write_properties(self._properties, properties)
        if not (self._folder / "data").exists():
            with unfinished(self._folder / "data") as data:
                self._format(properties | {"log.dirs": str(data)})

    def program(self) -> Program:
        return Program(
            name="kafka",
            argv=(JAVA_BINARY, *JVM, "-cp", self._class_path, "kafka.Kafka", str(self._properties)),
            env=part_env(),
            ready=self._answers,
            cwd=self._folder,
            ready_timeout=timedelta(seconds=120),  # on a busy machine the JVM alone takes half of a minute
            stop_timeout=timedelta(seconds=30),
            orphan_signal=signal.SIGTERM,
        )

    def set_up(self) -> None:
        """Topics are a job of the chassis, from contracts/topics.yaml."""

    def _format(self, properties: dict[str, str]) -> None:
        """Give an empty data folder its identity."""
        path = self._folder / "format.properties"
        write_properties(path, properties)
        format_ = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(path))
        command = (JAVA_BINARY, *JVM, "-cp", self._class_path, *format_)
        run_once(command, f"Kafka cannot format {self._folder}")

    async def _answers(self) -> bool:
        """Whether the broker answers a metadata request and is in it (an open port is not enough)."""
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self._port}", request_timeout_ms=2000)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
            return bool(cluster["brokers"])
        except KafkaError:
            return False
        finally:
            await admin.close()
