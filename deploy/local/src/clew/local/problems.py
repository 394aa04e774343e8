"""What can be wrong with the machine, said in one line: which thing, and what to do about it.

Nothing here repairs anything; the process manager prints the line and exits without a traceback.
"""

import errno
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

MIN_FREE_BYTES = 1 << 30  # Kafka alone allocates index files of 20 MiB a partition before it writes a record


class StackError(Exception):
    """The stack cannot come up or go on; the message is one line that says which part and what to do."""


@dataclass(frozen=True)
class Port:
    """A loopback port that the stack wants: who wants it, and the variable that moves it."""

    number: int
    wanted_by: str
    variable: str


def check_port(port: Port, host: str = "127.0.0.1") -> None:
    """Raise StackError when something listens on the port or it may not be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port.number))
        except PermissionError:
            raise StackError(
                f"port {port.number} for {port.wanted_by} needs a privilege: set {port.variable} above 1023"
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StackError(f"{port.wanted_by} cannot listen on {host}:{port.number}: {error.strerror}") from None
            raise StackError(
                f"port {port.number} for {port.wanted_by} is in use{_listener(port.number)}: "
                f"stop that program, or set {port.variable} to a free port"
            ) from None


def check_home(home: Path, needed: int = MIN_FREE_BYTES) -> None:
    """Make the data folder; raise StackError when it can't be written or has not the bytes `needed` free."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".write-probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StackError(
            f"data folder {home} cannot be written ({error.strerror}): give yourself write permission, "
            "or set CLEW_HOME to another folder"
        ) from None
    free = shutil.disk_usage(home).free
    if free < needed:
        raise StackError(
            f"the disk of {home} has {free >> 20} MiB free, and {needed >> 20} are needed: "
            "free some space, or set CLEW_HOME to a folder on another disk"
        )


def free_port() -> int:
    """A loopback port that nobody listens on now; it stays free only by luck, so bind it soon."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:  # another user's process, or it has just gone: the port alone must do
        return ""
    return ""
