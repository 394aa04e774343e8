"""The ways in which a replay comes to nothing, each with its exit code; beside those of `clew.cli.errors`.

Failure -- Diverges      3 (the code does not do what was recorded; no command here asks the gateway, whose 3 it is)
        |- BadRecording -- NoRecording  10 (it is something else)
        |               |- Truncated    11
        |               |- Tampered     12
        |               |- TooNew       13
        |               `- BlobMissing  14
        |- Missing       15 (an agent or a tool of the run is no more)
        |- CannotReplay  16 (there is nothing to replay, or no way to)
        |- Left          17 (the debugger was left)
        |- Conflict      18 (another recording of the run is there)
        `- NoViews       19 (memory's views cannot be read)
"""

from typing import Final

from clew.cli.errors import Failure

EXIT_CODES: Final = """\b
Exit codes:
  0   it worked; what was replayed is identical
  3   diverged: the first call that differs is shown
  5   there is no such run
  10  the file is no recording
  11  it is truncated
  12  it was changed after it was written
  13  a newer version of Clew wrote it
  14  a blob that it names is not in it
  15  an agent or a tool of the run does not exist any more
  16  there is nothing to replay
  17  the debugger was left before the end
  18  there is another recording of the run
  19  memory's views cannot be read"""


class Diverges(Failure):
    """The code of today does something else than was recorded."""

    code = 3


class BadRecording(Failure):
    """The file cannot be used."""


class NoRecording(BadRecording):
    """It is something else."""

    code = 10


class Truncated(BadRecording):
    """Its end is missing."""

    code = 11


class Tampered(BadRecording):
    """It is not what was written."""

    code = 12


class TooNew(BadRecording):
    """A newer version wrote it."""

    code = 13


class BlobMissing(BadRecording):
    """It names a blob that is not in it."""

    code = 14


class Missing(Failure):
    """An agent or a tool that the run used does not exist any more."""

    code = 15


class CannotReplay(Failure):
    """The recording holds nothing that could be replayed, or the replay itself broke."""

    code = 16


class Left(Failure):
    """Whoever sat at the debugger ended it."""

    code = 17


class Conflict(Failure):
    """What is there already is something else."""

    code = 18


class NoViews(Failure):
    """Memory's views cannot be read. Not the 3 of an unreachable gateway, which says here that the code diverged."""

    code = 19


BY_CODE: Final[dict[int, type[Failure]]] = {
    kind.code: kind for kind in (NoRecording, Truncated, Tampered, TooNew, BlobMissing, Missing, CannotReplay, Left)
}
