"""The world outside Clew, on which tools act: what happened in it is known whatever becomes of any process.

Every execution is a line in a file that its process alone appends to. A line is one write to the kernel, which has it
when the call returns: no SIGKILL takes it back (only a crash of the machine could, and none is played here). Effects
that have an identity are files with that name, made in one step, so that an effect and its record cannot differ.
"""

import json
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

FOLDER_VARIABLE = "TEST_OUTSIDE"  # where the outside of one Clew lies
TOOLS = Path(__file__).with_name("tools")  # those that act on it, for CLEW_TOOLS_PATH
Mark = Literal["begun", "over", "asked"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One execution of a tool's body was begun or is over, or its reconciler asked. `at` in seconds of the epoch, as
    Kafka's timestamps."""

    mark: Mark
    tool: str
    token: str  # names the call by what the model asked for, the same in every execution
    key: str  # the idempotency key that the platform handed over; empty where the tool takes none
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What the outside did: `key` is the idempotency key, or a receipt's number where there is none."""

    kind: Literal["keyed", "receipt"]
    token: str
    key: str


class Outside:
    """One outside, in a folder that all processes of a trial share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("ledger", "keyed", "receipt", "draft"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    @classmethod
    def of_environment(cls) -> "Outside":
        """The one that a tool in a service's process acts on."""
        return cls(Path(os.environ[FOLDER_VARIABLE]))

    @contextmanager
    def execution(self, tool: str, token: str, key: str = "") -> Generator[None]:
        """Records that a tool's body begins, and that it ended unless it was killed or cancelled on the way."""
        self._write(Entry("begun", tool, token, key, os.getpid(), time.time()))
        yield
        self._write(Entry("over", tool, token, key, os.getpid(), time.time()))

    def asked(self, tool: str, token: str, key: str) -> None:
        """Records that a reconciler looked whether a call took effect."""
        self._write(Entry("asked", tool, token, key, os.getpid(), time.time()))

    def apply_keyed(self, token: str, key: str) -> bool:
        """An effect that the outside does once for a key. False when it had done it before."""
        try:
            self._make("keyed", sha256(key.encode()).hexdigest(), {"token": token, "key": key})
        except FileExistsError:
            return False
        return True

    def apply(self, token: str) -> None:
        """An effect that is done as often as it is asked for; each time leaves a receipt."""
        number = f"{os.getpid()}-{time.monotonic_ns()}"
        self._make("receipt", number, {"token": token, "key": number})

    def was_applied(self, token: str) -> bool:
        """Whether there is a receipt: what a reconciler asks."""
        return any(effect.token == token for effect in self._effects("receipt"))

    def entries(self) -> list[Entry]:
        """All executions by all processes, in the order of time."""
        lines = [line for path in (self._folder / "ledger").iterdir() for line in path.read_text().splitlines()]
        return sorted((Entry(**json.loads(line)) for line in lines), key=lambda entry: entry.at)

    def effects(self) -> list[Effect]:
        return [*self._effects("keyed"), *self._effects("receipt")]

    def _effects(self, kind: Literal["keyed", "receipt"]) -> Iterator[Effect]:
        for path in (self._folder / kind).iterdir():
            yield Effect(kind, **json.loads(path.read_text()))

    def _write(self, entry: Entry) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        file = os.open(self._folder / "ledger" / f"{os.getpid()}.jsonl", flags, 0o644)
        try:
            os.write(file, f"{json.dumps(asdict(entry))}\n".encode())
        finally:
            os.close(file)

    def _make(self, kind: str, name: str, what: dict[str, str]) -> None:
        """The file appears whole or not at all. FileExistsError when it is there already."""
        draft = self._folder / "draft" / f"{os.getpid()}-{time.monotonic_ns()}"
        draft.write_text(json.dumps(what))
        try:
            os.link(draft, self._folder / kind / name)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
