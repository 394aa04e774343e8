"""Closes this process's way out: sockets to elsewhere and look-ups of names are refused, by whatever code."""

import sys
from typing import Any, Final

REFUSED: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo"})
PROCESSES: Final = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"})


class NetworkClosed(OSError):
    """Something tried to reach the outside during a replay."""


def close_network() -> None:
    """From now on, and for good: an audit hook cannot be taken out again. Processes, which would not have it, too."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in PROCESSES:
        raise NetworkClosed(f"a replay starts no process ({event})")
    if event not in REFUSED and not event.startswith("socket.gethost"):
        return
    raise NetworkClosed(f"a replay reaches nothing outside ({event} {arguments[1:]!r})")
