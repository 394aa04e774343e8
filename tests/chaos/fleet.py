"""The five services as processes, several of some, kept running as a supervisor would: what dies is started again."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.services import ServiceProcess

COUNTS: Mapping[str, int] = {"gateway": 2, "planner": 2, "executor": 3, "ingestion": 1, "memory": 1}
LOOK = 0.25  # seconds between looks at a process
AGAIN = 1.0  # seconds before one that died is started again
GRACE = 30.0  # seconds from SIGTERM to SIGKILL
READY = 90.0  # seconds in which every process must be ready when the trial begins
Command = Callable[[str], tuple[str, ...]]


def plain(service: str) -> tuple[str, ...]:
    """Python's arguments that run a service as it is."""
    return "-m", f"clew.{service}"


@dataclass(eq=False)
class Member:
    """A place for one process of a service. `wanted`: whether one should run there; `ours`: deaths that we brought."""

    process: ServiceProcess
    service: str
    wanted: bool = True
    ours: int = 0
    keeper: "asyncio.Task[None] | None" = None
    up: asyncio.Event = field(default_factory=asyncio.Event)


class Fleet:
    """All processes. `collapsed` counts those that ended by themselves, by service and exit status."""

    def __init__(self, env: Mapping[str, str], folder: Path, command: Command = plain) -> None:
        self._env = dict(env) | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._folder = folder
        self._command = command
        self._members: list[Member] = []
        self._numbers: Counter[str] = Counter()
        self.collapsed: Counter[str] = Counter()

    async def __aenter__(self) -> "Fleet":
        for service, count in COUNTS.items():
            for _ in range(count):
                self._add(service)
        try:
            async with asyncio.timeout(READY):
                await asyncio.gather(*(member.up.wait() for member in self._members))
        except BaseException:
            self.show(lambda member: not member.up.is_set())
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    @property
    def gateways(self) -> list[str]:
        """Where the gateways listen, dead ones included: a client tries the next."""
        return [member.process.url for member in self._members if member.service == "gateway"]

    def show(self, which: Callable[[Member], bool]) -> None:
        """Prints the last lines of some processes."""
        for member in self._members:
            if which(member):
                print(member.process.last_lines())

    # -- what a schedule does

    async def kill(self, service: str, choice: int) -> None:
        if member := self._chosen(service, choice):
            self._signal(member, signal.SIGKILL)

    async def kill_all(self, service: str) -> None:
        for member in self._running(service):
            self._signal(member, signal.SIGKILL)

    async def freeze(self, service: str, choice: int, seconds: float) -> None:
        """Stands still for `seconds`, then goes on as if nothing had been."""
        async with self.frozen(service, choice):
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def frozen(self, service: str, choice: int) -> AsyncGenerator[None]:
        """Meanwhile a process stands still, if there is one; then it goes on as if nothing had been."""
        if (member := self._chosen(service, choice)) is None:
            yield
            return
        pid = member.process.pid
        self._signal(member, signal.SIGSTOP)
        try:
            yield
        finally:
            if member.process.running and member.process.pid == pid:
                self._signal(member, signal.SIGCONT)

    async def term(self, service: str, choice: int) -> None:
        if member := self._chosen(service, choice):
            await self._restart(member)

    async def rolling(self, service: str) -> None:
        """One process after the other is stopped in order and comes back, as in a deployment."""
        for member in self._running(service):
            await self._restart(member)

    async def scale(self, service: str, counts: Sequence[int], pause: float) -> None:
        """To each of `counts` in turn, `pause` seconds apart, and back to what is usual."""
        for count in (*counts, COUNTS[service]):
            members = [member for member in self._members if member.service == service and member.wanted]
            for member in members[count:]:
                member.wanted = False
                self._term(member)
            for _ in range(count - len(members)):
                self._add(service)
            await asyncio.sleep(pause)

    # -- keeping

    def _add(self, service: str) -> None:
        self._numbers[service] += 1
        folder = self._folder / f"{service}-{self._numbers[service]}"
        member = Member(ServiceProcess(service, self._env, folder, arguments=self._command(service)), service)
        member.keeper = asyncio.create_task(self._keep(member), name=f"keep {folder.name}")
        self._members.append(member)

    async def _keep(self, member: Member) -> None:
        while member.wanted:
            try:
                await member.process.start()
            except AssertionError:  # a broker that is away, most often: the process said why in its log
                await asyncio.sleep(AGAIN)
                continue
            member.up.set()
            code = await member.process.ended()
            member.up.clear()
            if member.ours:
                member.ours -= 1
            else:
                self.collapsed[f"{member.service} {code}"] += 1
            await asyncio.sleep(AGAIN)

    async def _restart(self, member: Member) -> None:
        """As Kubernetes does it: SIGTERM, and SIGKILL when it has not ended within the grace."""
        pid = member.process.pid
        if not self._term(member):
            return
        member.up.clear()
        await asyncio.sleep(LOOK)
        for _ in range(int(GRACE / LOOK)):
            if not member.process.running or member.process.pid != pid:
                break
            await asyncio.sleep(LOOK)
        else:
            self.collapsed[f"{member.service} did not stop"] += 1
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        while member.wanted and not member.up.is_set():  # it may be scaled away meanwhile
            await asyncio.sleep(LOOK)

    def _chosen(self, service: str, choice: int) -> Member | None:
        running = self._running(service)
        return running[choice % len(running)] if running else None

    def _running(self, service: str) -> list[Member]:
        return [m for m in self._members if m.service == service and m.wanted and m.up.is_set() and m.process.running]

    def _signal(self, member: Member, number: signal.Signals) -> None:
        """To the process and all that it started; nothing to one that has just ended by itself."""
        with suppress(ProcessLookupError):
            os.killpg(member.process.pid, number)
            if number == signal.SIGKILL:
                member.ours += 1

    def _term(self, member: Member) -> bool:
        """SIGTERM to the process alone. False when there is none: its keeper brings another."""
        if not member.process.running:
            return False
        try:
            os.kill(member.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            return False
        member.ours += 1
        return True

    async def _stop(self) -> None:
        for member in self._members:
            member.wanted = False
            if member.keeper is not None:
                member.keeper.cancel()
        await asyncio.gather(*(m.keeper for m in self._members if m.keeper), return_exceptions=True)
        for member in self._members:
            if member.process.running:
                with suppress(ProcessLookupError):
                    os.killpg(member.process.pid, signal.SIGCONT)
        await asyncio.gather(*(m.process.stop() for m in self._members if m.process.running))
