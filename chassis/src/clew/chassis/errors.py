"""The words in which a service says what went wrong.

    RejectEvent      the event is wrong: to the dead letters with it, the partition goes on
    LogUnreachable   the broker was just unreachable: nothing was sent
    AckTimeout       sent, and not acknowledged in time: it may still be in the log
    StartError       the service cannot start like this: one line that says what to do

Anything else that leaves a handler is a bug or an outage: the record is not committed, its key waits and is tried
again with back-off, and after a number of tries the process stops.
"""


class RejectEvent(Exception):
    """Raised by a handler for an event that it can never take in. The message is the reason."""


class LogUnreachable(Exception):
    """Nothing was sent: the log cannot be reached now."""


class AckTimeout(Exception):
    """The outcome is unknown: the record was sent and no acknowledgement came in time."""


class StartError(Exception):
    """The environment is wrong; the message says what and what to do."""


class Fenced(Exception):
    """The partition is no longer this process's to write: what was begun is void, and its input is not finished."""
