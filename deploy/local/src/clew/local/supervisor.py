"""`make run`: parts, then jobs, then services, until told to stop; then everything in reverse order."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterable, Sequence
from datetime import timedelta

from clew.local.home import Home
from clew.local.keeper import Keeper
from clew.local.log import MergedLog
from clew.local.problems import Port, StackError, check_port
from clew.local.process import Process, Program, describe_exit
from clew.local.services import Job, Service, job_program, reachable, service_program
from clew.local.settings import Settings
from clew.local.stack import Stack

MANAGER = "clew"
CLI_DEFAULT = "http://127.0.0.1:8000"  # where the command looks unless it is told otherwise
JOB_DEADLINE = timedelta(minutes=2)
SAME_SIGNAL = timedelta(seconds=1)  # some wrappers send a signal to the process and to its group
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One run of the whole stack. Jobs and services are data, so that tests run it with small programs."""

    def __init__(
        self,
        settings: Settings,
        log: MergedLog,
        stack: Stack,
        home: Home,
        jobs: Sequence[Job],
        services: Sequence[Service],
    ) -> None:
        self._settings = settings
        self._log = log
        self._stack = stack
        self._home = home
        self._jobs = jobs
        self._services = services
        self._keepers: list[Keeper] = []

    async def run(self) -> None:
        """Run until cancelled. StackError says in one line what kept it from coming up."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await self._stack.start()
            await _all(self._run_job(job_program(job, self._settings, self._stack.env)) for job in self._jobs)
            await self._start_services()
            self._welcome(clock() - began)
            await asyncio.Event().wait()
        finally:
            await self._stop()

    def kill_now(self) -> None:
        """SIGKILL to everything: for whoever cannot wait for an orderly stop."""
        for keeper in self._keepers:
            keeper.kill_now()
        self._stack.kill_now()

    async def _run_job(self, program: Program) -> None:
        process = Process(program, self._log.line)
        self._home.remember(program.name, process.pid)
        try:
            async with asyncio.timeout(JOB_DEADLINE.total_seconds()):
                code = await process.wait()
        except TimeoutError:
            raise StackError(
                f"{program.name} has not ended within {JOB_DEADLINE.seconds} s: see its lines above"
            ) from None
        finally:
            process.kill()
        if code:
            raise StackError(f"{program.name} failed with {describe_exit(code)}: see its lines above")

    async def _start_services(self) -> None:
        programs = [service_program(service, self._settings, self._stack.env) for service in self._services]
        self._keepers = [Keeper(program, self._log.line, self._log.line, self._home.remember) for program in programs]
        await _all(keeper.start() for keeper in self._keepers)

    async def _stop(self) -> None:
        if not self._keepers and not self._stack.running:
            return
        self._say("stopping the services, then the parts (Ctrl-C again kills everything at once)")
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers))
        await self._stack.stop()
        self._say(f"stopped; the data stay in {self._settings.home}")

    def _welcome(self, seconds: float) -> None:
        host, port = reachable(self._settings.gateway_host), self._settings.gateway_port
        url = f"http://{host}:{port}"
        clew = ".venv/bin/clew" if url == CLI_DEFAULT else f".venv/bin/clew --url {url}"
        self._say(f"ready after {seconds:.1f} s; the gateway is at {url} (its API at /docs)")
        self._say(f'try in another terminal:  {clew} send --wait "what is 17% of 2,340?"')
        self._say(f"or a conversation:        {clew} chat")
        self._say("Ctrl-C here, or `make stop` elsewhere, stops everything")

    def _say(self, line: str) -> None:
        self._log.line(MANAGER, line)


async def supervise(settings: Settings, log: MergedLog, jobs: Sequence[Job], services: Sequence[Service]) -> None:
    """Hold the data folder and run the stack in it, until a signal asks to stop."""
    home = Home(settings.home)
    with home.claim():
        for service in services:
            if service.public:
                check_port(Port(settings.gateway_port, "the gateway", "CLEW_GATEWAY_PORT"), settings.gateway_host)
        stack = Stack(home, settings.ports, log.line, given=settings.given, bucket=settings.bucket, restart=True)
        supervisor = Supervisor(settings, log, stack, home, jobs, services)
        await _until_told(supervisor)


async def _until_told(supervisor: Supervisor) -> None:
    """Run it; the first signal stops it in order, a later one kills it."""
    running = asyncio.create_task(supervisor.run(), name="supervisor")
    loop = asyncio.get_running_loop()
    told: float | None = None

    def on_signal() -> None:
        nonlocal told
        if told is None:
            told = loop.time()
            running.cancel()
        elif loop.time() - told > SAME_SIGNAL.total_seconds():
            supervisor.kill_now()
            os._exit(128 + signal.SIGKILL)  # threads may still wait for a download or for Postgres' first layout

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        await running
    except asyncio.CancelledError:
        if told is None:
            raise


async def _all(steps: Iterable[Coroutine[None, None, None]]) -> None:
    """Run steps side by side; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
