"""The ways in which a command ends, each with its exit code. `clew --help` shows them.

Failure -- NotCompleted 1 (a run or a check did not end well)
        |- Unreachable  3 (no answer from the gateway, the log or the views, or none that they would give)
        |- Refused      4 (the API answered with a problem)
        |- Unknown      5 (there is no such run, call, thread, record or dead letter)
        |- NoMoment     6 (the run has no such moment)
        `- Denied       7 (the log does not let this user do that)
"""

from typing import ClassVar, Final

from clew.cli.wire import Problem

OK: Final = 0
USAGE: Final = 2  # click's own
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

EXIT_CODES: Final = """\b
Exit codes:
  0    it worked; a run that was waited for was completed
  1    the run failed, was cancelled or waits for a person; a check failed
  2    the command was used wrongly
  3    the gateway, the log or memory's views cannot be reached
  4    the API refused the request: the problem is on stderr
  5    there is no such run, call, thread, record or dead letter (of the commands that are given one)
  6    the run has no such moment
  7    the log does not let this user do that (of the commands that read the log itself)
  130  Ctrl-C
Commands about recordings (run export, run replay, lab and others) have more: see their help."""


class Failure(Exception):
    """Base of all; its text is for the person at the terminal."""

    code: ClassVar[int] = 1


class NotCompleted(Failure):
    """What was asked for was done, and it did not end well."""


class Unreachable(Failure):
    """No usable answer. `sent`: the request may have arrived; `passing`: asking again may help."""

    code = 3
    retry_after = 0.0

    def __init__(self, text: str, *, sent: bool = True, passing: bool = True) -> None:
        super().__init__(text)
        self.sent = sent
        self.passing = passing


class Unknown(Failure):
    """What is to be shown is not there."""

    code = 5


class NoMoment(Failure):
    """The run is there, and was never at that moment."""

    code = 6


class Denied(Failure):
    """Whoever runs the log does not allow it."""

    code = 7


class Refused(Failure):
    """The API answered with a problem. `retry_after`: seconds that it asks to wait; `passing` as above.

    An outcome that is unknown may be asked for again too: requests carry a key.
    """

    code = 4

    def __init__(self, problem: Problem, retry_after: float = 0.0) -> None:
        super().__init__(problem.summary)
        self.problem = problem
        self.retry_after = retry_after
        self.passing = problem.status in (429, 502, 503, 504)
