"""The names of what the executor measures."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from clew.executor.journal import RunJournal


class Metrics:
    """Counters and gauges of the executor, in the registry of its service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Runs that are under way in this process. One that is suspended is not.
        self.under_way = Gauge("clew_runs_under_way", "Runs under way", registry=registry)
        # Suspensions by what is waited for: child, timer, approval (a person), in_doubt (a person, about a call that
        # may have been made), diverged and journal (an operator).
        self.suspended = Counter("clew_runs_suspended", "Runs suspended", ["reason"], registry=registry)

    def note_suspended(self, journal: RunJournal) -> None:
        """A run was suspended, as its journal says."""
        if (suspended := journal.state.suspended) is not None:
            asked = {question.asked.about for question in journal.record.inbox.open.values()}
            in_doubt = suspended.reason == "approval" and "in_doubt" in asked
            self.suspended.labels("in_doubt" if in_doubt else suspended.reason).inc()
