"""The four real parts (Kafka, Postgres, Redis, S3) as one thing to start and stop, for `make run` and tests.

    async with Stack(Home(folder), free_ports(), say) as stack:
        stack.env   # KAFKA_BOOTSTRAP_SERVERS, DATABASE_URL, REDIS_URL, S3_…: everything a service needs

Without `restart` nothing of it belongs to an event loop: tests may start it in one and use it from others.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from clew.local.home import Home
from clew.local.kafka import Kafka
from clew.local.keeper import Keeper
from clew.local.log import FileLog
from clew.local.part import Part
from clew.local.postgres import Postgres
from clew.local.problems import StackError, check_port, free_port
from clew.local.process import Lines
from clew.local.redis import Redis
from clew.local.s3 import S3, ensure_bucket
from clew.local.settings import (
    DEFAULT_BUCKET,
    KAFKA_VARIABLE,
    POSTGRES_VARIABLE,
    REDIS_VARIABLE,
    S3_VARIABLE,
    Ports,
)


class Stack:
    """The parts that `given` does not bring.

    `say(name, line)` gets what becomes of each; what they write themselves goes to `<home>/logs/<name>.log`.
    `restart` starts a part again when it dies; `durable=False` gives up Postgres' safety against a crash of
    the machine for speed (tests).
    """

    def __init__(
        self,
        home: Home,
        ports: Ports,
        say: Lines,
        *,
        given: Mapping[str, str] | None = None,
        bucket: str = DEFAULT_BUCKET,
        durable: bool = True,
        restart: bool = False,
    ) -> None:
        self._home = home
        self._say = say
        self._given = dict(given or {})
        self._output = FileLog(home.path / "logs")
        self._restart = restart
        self._keepers: dict[str, Keeper] = {}
        data = home.path
        parts: dict[str, tuple[str, Part]] = {
            "kafka": (KAFKA_VARIABLE, Kafka(data / "kafka", ports.kafka)),
            "postgres": (
                POSTGRES_VARIABLE,
                Postgres(data / "postgres", ports.postgres, home.secret, durable=durable),
            ),
            "redis": (REDIS_VARIABLE, Redis(data / "redis", ports.redis)),
            "s3": (S3_VARIABLE, S3(data / "s3", ports.s3, bucket, home.secret)),
        }
        self._parts = {name: part for name, (variable, part) in parts.items() if variable not in self._given}

    @property
    def env(self) -> dict[str, str]:
        """The environment variables by which a service finds all four parts, given ones included."""
        values = dict(self._given)
        for part in self._parts.values():
            values |= part.provides()
        return values

    @property
    def part_names(self) -> list[str]:
        """The parts that run here: the ones that nobody else brings."""
        return list(self._parts)

    @property
    def running(self) -> bool:
        """Whether any part runs here."""
        return any(keeper.running for keeper in self._keepers.values())

    async def start(self) -> None:
        """Bring all parts up, side by side; return when each answers. StackError says what is wrong."""
        for part in self._parts.values():
            check_port(part.port)
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._parts:
                    group.create_task(self._bring_up(name), name=f"bring-up-{name}")
                if S3_VARIABLE in self._given:
                    group.create_task(asyncio.to_thread(ensure_bucket, self._given), name="bucket")
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None

    async def stop(self) -> None:
        """Stop all parts, side by side, each with its deadline."""
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))

    async def start_part(self, name: str) -> None:
        """Start one part again, on its data and port; return when it answers."""
        await self._keeper(name).start(restart=self._restart)

    async def stop_part(self, name: str) -> None:
        """Stop one part in good order."""
        await self._keeper(name).stop()

    async def kill_part(self, name: str) -> None:
        """SIGKILL to one part."""
        await self._keeper(name).kill()

    def pid(self, name: str) -> int:
        """The process of one part."""
        return self._keeper(name).pid

    def kill_now(self) -> None:
        """SIGKILL to all of it: when there is no time for order."""
        for keeper in self._keepers.values():
            keeper.kill_now()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _bring_up(self, name: str) -> None:
        part = self._parts[name]
        clock = asyncio.get_running_loop().time
        began = clock()
        await asyncio.to_thread(part.prepare, lambda line: self._say(name, line))
        keeper = self._keepers[name] = Keeper(part.program(), self._output.line, self._say, self._home.remember)
        await keeper.start(restart=self._restart)
        await asyncio.to_thread(part.set_up)
        self._say(name, f"is up on port {part.port.number} after {clock() - began:.1f} s")

    def _keeper(self, name: str) -> Keeper:
        try:
            return self._keepers[name]
        except KeyError:
            raise StackError(f"{name} does not run in this stack: it was given by its URL or never started") from None


def free_ports() -> Ports:
    """Four ports that nobody listens on now."""
    return Ports(kafka=free_port(), postgres=free_port(), redis=free_port(), s3=free_port())
