"""The one log of the stack: every line of every process, with its name in front, coloured on a terminal."""

import threading
from pathlib import Path
from typing import TextIO

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # ANSI foregrounds that are legible on light and dark
NAME_WIDTH = 9


class MergedLog:
    """Writes whole lines from any thread."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._lock = threading.Lock()
        self._reader_left = False
        self._codes: dict[str, int] = {}

    def line(self, name: str, text: str) -> None:
        """One line, said by `name`."""
        with self._lock:
            if self._reader_left:
                return
            try:
                self._stream.write(f"{self._prefix(name)} {text}\n")
                self._stream.flush()
            except OSError:  # a closed terminal or pipe: an orderly stop matters more than lines nobody can read
                self._reader_left = True

    def _prefix(self, name: str) -> str:
        label = f"{name:<{NAME_WIDTH}} |"
        if not self._colour:
            return label
        code = self._codes.setdefault(name, COLOURS[len(self._codes) % len(COLOURS)])
        return f"\x1b[{code}m{label}\x1b[0m"


class FileLog:
    """Writes each process's lines to `<folder>/<name>.log`, anew for each start of the stack."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._begun: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def line(self, name: str, text: str) -> None:
        """One line, said by `name`."""
        with self._lock, (self._folder / f"{name}.log").open("a" if name in self._begun else "w") as file:
            self._begun.add(name)
            file.write(f"{text}\n")
