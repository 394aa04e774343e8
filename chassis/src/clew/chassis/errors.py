"""The words in which a service says what went wrong.

    RejectEvent      the event is wrong: to the dead letters with it, the partition goes on
    RetryLater       not now: its key waits and is tried again, others go on; in the end a dead letter
    Fenced           the partition is no longer ours: the record stays unfinished, for the owner that comes next
    LogUnreachable   the broker was just unreachable: nothing was sent
    AckTimeout       sent, and not acknowledged in time: it may still be in the log
    OutOfSequence    a record was given up, and the log takes nothing behind it from this process: it ends
    StartError       the service cannot start like this: one line that says what to do

Anything else that leaves a handler is a bug or an outage: the record is not committed, its key waits and is tried
again with back-off, and after a number of tries the process stops.
"""

from datetime import timedelta


class RejectEvent(Exception):
    """Raised by a handler for an event that it can never take in. The message is the reason."""


class RetryLater(Exception):
    """Raised by a handler that cannot do its work yet. It is tried again `after` a time, until the total time that was
    declared with the handler (`retry_for`) has passed since the record was written; then it is a dead letter."""

    def __init__(self, after: timedelta, reason: str = "") -> None:
        super().__init__(reason or f"again in {after.total_seconds():g} s")
        self.after = after


class LogUnreachable(Exception):
    """Nothing was sent: the log cannot be reached now."""


class AckTimeout(Exception):
    """The outcome is unknown: the record was sent and no acknowledgement came in time."""


class OutOfSequence(Exception):
    """The log takes nothing more from this process's producer. Only a new one, in a new process, can write again."""


class TooManyDeadLetters(Exception):
    """So many records were refused that the code must be wrong, and not the data. The consumer stops."""


class StartError(Exception):
    """The environment is wrong; the message says what and what to do."""


class Fenced(Exception):
    """The partition is no longer this process's to write: what was begun is void, and its input is not finished."""
