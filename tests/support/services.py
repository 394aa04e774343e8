"""Services as subprocesses for tests: start, stop, kill, restart, and their log where a failure can be read.

async with running("memory", stack_env | {"CLEW_NAMESPACE": namespace}, tmp_path) as memory:
    await memory.kill(); await memory.start()
"""

import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from clew.local.log import FileLog
from clew.local.problems import free_port
from clew.local.process import Process, Program
from clew.local.services import STOP_TIMEOUT, answers_ok

INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
LOG_LINES_SHOWN = 60


class ServiceProcess:
    """One service under test: `python <arguments>`, by default `python -m clew.<name>`.

    `env` is all that it gets besides the machine's basics. It listens on the same port over restarts, its health server
    (`CLEW_HEALTH_PORT`) or the gateway (`CLEW_GATEWAY_PORT`); `url` says where.
    """

    def __init__(
        self, name: str, env: Mapping[str, str], folder: Path, *, arguments: tuple[str, ...] | None = None
    ) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = folder / f"{name}.log"
        self._log = FileLog(folder)
        port_variable = "CLEW_GATEWAY_PORT" if name == "gateway" else "CLEW_HEALTH_PORT"
        basics = {variable: os.environ[variable] for variable in INHERITED if variable in os.environ}
        self._program = Program(
            name=name,
            argv=(sys.executable, *(arguments or ("-m", f"clew.{name}"))),
            env=basics | dict(env) | {port_variable: str(self.port)},
            ready=self._ready,
            stop_timeout=STOP_TIMEOUT,
        )
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and return when /readyz answers 200. AssertionError with its last lines when it does not."""
        assert not self.running, f"{self.name} is running already"
        self._process = Process(self._program, self._log.line)
        try:
            await self._process.wait_ready()
        except Exception as error:
            self._process.kill()
            raise AssertionError(f"{error}\n{self.last_lines()}") from error

    async def stop(self) -> int:
        """SIGTERM, and SIGKILL at the deadline; the exit status."""
        assert self._process is not None, f"{self.name} was never started"
        return await self._process.stop()

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.kill()
        await self._process.wait()

    async def restart(self) -> None:
        """Stop in good order and start again."""
        await self.stop()
        await self.start()

    async def ended(self) -> int:
        """Wait until it ends by itself; the exit status."""
        assert self._process is not None, f"{self.name} was never started"
        return await self._process.wait()

    def last_lines(self) -> str:
        """The end of its log."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return "\n".join([f"--- last lines of {self.name} ---", *lines[-LOG_LINES_SHOWN:]])

    async def _ready(self) -> bool:
        return await answers_ok("127.0.0.1", self.port, "/readyz")


@asynccontextmanager
async def running(
    name: str, env: Mapping[str, str], folder: Path, *, arguments: tuple[str, ...] | None = None
) -> AsyncGenerator[ServiceProcess]:
    """A service for the length of a block; when the block fails, its last lines are printed for pytest to show."""
    service = ServiceProcess(name, env, folder, arguments=arguments)
    await service.start()
    try:
        yield service
    except BaseException:
        print(service.last_lines())
        raise
    finally:
        if service.running:
            await service.stop()
