"""The data folder (CLEW_HOME): who holds it, its secrets, and which processes were started in its name."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import psutil

from clew.local.problems import StackError, check_home

LEFTOVER_DEADLINE = timedelta(seconds=10)
CLOCK_STEP = 2.0  # seconds by which a corrected clock may move a start time; no pid comes round as fast
POLL = 0.1  # seconds between looks at a stack that is stopping
STOP_DEADLINE = timedelta(seconds=90)  # a whole ordered stop: services drain, then Kafka closes its logs


class Home:
    """One data folder. `claim` makes this process its only holder, until it lets go or dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path / "lock"
        self._children = path / "children.json"
        self._started: dict[str, tuple[int, float]] = {}

    @contextlib.contextmanager
    def claim(self) -> Generator[None]:
        """Hold the folder; raise StackError when it can't be used or another stack holds it."""
        check_home(self.path)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    f"a stack is already running on {self.path} (pid {self.holder()}): "
                    "`make stop` stops it, or set CLEW_HOME and the ports to run another"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self._stop_leftovers()
            yield

    def holder(self) -> int | None:
        """The pid of the process that holds the folder, or None."""
        if not self._lock.exists():
            return None
        with self._lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
        return None

    def stop_holder(self) -> bool:
        """Ask the running stack to stop and wait until it has. False when none was running."""
        pid = self.holder()
        if not pid:
            return False
        psutil.Process(pid).send_signal(signal.SIGTERM)
        deadline = monotonic() + STOP_DEADLINE.total_seconds()
        while self.holder() == pid:
            if monotonic() > deadline:
                raise StackError(
                    f"the stack (pid {pid}) has not stopped within {STOP_DEADLINE.seconds} s: "
                    f"see its log, or `kill -9 {pid}`"
                )
            sleep(POLL)
        return True

    def reset(self) -> None:
        """Remove all data; raises StackError while a stack is running."""
        if not self.path.exists():
            return
        with self.claim():
            for entry in self.path.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def secret(self, name: str) -> str:
        """A random password kept in the folder, readable by its owner only; made at first use."""
        path = self.path / "secrets" / name
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = path.with_suffix(".unfinished")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(24))
            draft.rename(path)
        return path.read_text()

    def remember(self, name: str, pid: int) -> None:
        """Note a started process, so that whoever holds the folder next can stop what was left behind."""
        try:
            self._started[name] = (pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:  # it has died at once: nothing to leave behind
            return
        self._children.write_text(json.dumps(self._started))

    def _stop_leftovers(self) -> None:
        """Stop what a killed manager left running: on Linux the kernel has done it already."""
        if not self._children.exists():
            return
        recorded: dict[str, tuple[int, float]] = json.loads(self._children.read_text() or "{}")
        left = [process for pid, born in recorded.values() if (process := _same_process(pid, born))]
        for process in left:
            process.terminate()
        _, stubborn = psutil.wait_procs(left, LEFTOVER_DEADLINE.total_seconds())
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn, LEFTOVER_DEADLINE.total_seconds())
        self._children.unlink()


def _same_process(pid: int, born: float) -> psutil.Process | None:
    """The process if it is still the one that was recorded, and not a later one under the same pid."""
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - born) < CLOCK_STEP else None
    except psutil.NoSuchProcess:
        return None
