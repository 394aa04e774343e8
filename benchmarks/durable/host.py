"""The parts that the measured processes need, and those processes: started, listened to, killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.durable.process import PARTITIONS
from tests.support.log import make_topics
from tests.support.system import migrate

PATIENCE = 300.0  # seconds that anything may take
INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH")


@dataclass
class Worker:
    """A process of `worker`. What it said are JSON lists; its log is on standard error of ours when it fails."""

    process: asyncio.subprocess.Process
    lines: list[list[Any]] = field(default_factory=list[list[Any]])
    log: list[str] = field(default_factory=list[str])

    @property
    def pid(self) -> int:
        return self.process.pid

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode()
            if text.startswith("["):
                self.lines.append(json.loads(text))
            else:
                self.log.append(text)

    def said(self, what: str) -> list[list[Any]]:
        return [line for line in self.lines if line[0] == what]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Raises SystemExit with its log when it dies first."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                if self.process.returncode is not None:
                    raise SystemExit("a measured process died:\n" + "".join(self.log[-40:]))
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)


class Host:
    """The stack's environment; each measurement gets topics and tables of its own in it."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        self._env = env
        self._numbers = count()

    @asynccontextmanager
    async def namespace(self) -> AsyncGenerator[dict[str, str]]:
        """An environment for services whose topics and tables are new."""
        env = {"S3_BUCKET": "clew", **self._env, "CLEW_NAMESPACE": f"bench{next(self._numbers)}"}
        env |= {"CLEW_SESSION_SECONDS": "6", "CLEW_LOG_FORMAT": "json"}
        await make_topics(env, PARTITIONS)
        await asyncio.to_thread(migrate, env)
        yield env

    @asynccontextmanager
    async def worker(self, env: Mapping[str, str], *arguments: str, program: str = "worker") -> AsyncGenerator[Worker]:
        """A process of `program`; it is killed at the end of the block if it still runs."""
        basics = {name: os.environ[name] for name in INHERITED if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"benchmarks.durable.{program}", *arguments),
            env=basics | dict(env),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        worker = Worker(process)
        listening = asyncio.create_task(worker.listen())
        try:
            yield worker
        finally:
            if process.returncode is None:
                worker.kill()
            await process.wait()
            await listening

    async def found(self, what: str, size: int) -> dict[str, float]:
        """What one process measured, in a namespace of its own."""
        async with self.namespace() as env, self.worker(env, what, str(size)) as worker:
            return await _found(worker)

    async def peer(self, size: int) -> dict[str, float]:
        """What DBOS takes for the same plain steps."""
        async with self.worker({}, self._env["DATABASE_URL"], str(size), program="peer") as worker:
            return await _found(worker)


async def _found(worker: Worker) -> dict[str, float]:
    await worker.until(lambda: bool(worker.said("found")))
    return worker.said("found")[0][1]
