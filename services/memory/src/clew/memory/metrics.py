"""The names of everything memory measures."""

from collections import Counter as Tally
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from clew.memory.entry import Entry

_TOPIC = attrgetter("record.topic")
_WRITTEN = attrgetter("record.topic", "record.timestamp")
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)


class Metrics:
    """Counters and gauges of memory, in the registry of its service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        # Events whose rows are committed, by topic.
        self.projected = Counter("clew_memory_projected", "Events projected", ["topic"], registry=registry)
        # Records of types that this version does not know, by topic; skipped.
        self.unknown = Counter("clew_memory_unknown", "Records of unknown types", ["topic"], registry=registry)
        # Records written under a claim that was not in force, by topic; set apart.
        self.void = Counter("clew_memory_void", "Records that do not count", ["topic"], registry=registry)
        # Records parked in the dead letters, by topic and reason.
        self.parked = Counter("clew_memory_parked", "Records parked", ["topic", "reason"], registry=registry)
        # One batch: rows and offsets committed in Postgres.
        self.commit = Histogram("clew_memory_commit_seconds", "A batch's commit", registry=registry, buckets=SECONDS)
        # Time from a record's own timestamp to its rows, of the oldest of each batch and topic.
        self.delay = Histogram(
            "clew_memory_delay_seconds", "From written to projected", ["topic"], registry=registry, buckets=SECONDS
        )
        # Records in the log that are not projected yet, over all partitions.
        self.lag_events = Gauge("clew_memory_lag_events", "Records not projected yet", registry=registry)
        # Age of the oldest record that is not projected yet; 0 when there is none.
        self.lag_seconds = Gauge("clew_memory_lag_seconds", "Age of the oldest of them", registry=registry)
        # Times that Postgres could not be used and the batch waited.
        self.postgres_failures = Counter("clew_memory_postgres_failures", "Failed tries", registry=registry)
        # Times that Redis could not be used; the views stay right, live streams fall back to them.
        self.redis_failures = Counter("clew_memory_redis_failures", "Failed writes to Redis", registry=registry)

        # Histories in Redis that were brought up to date after a commit.
        self.histories = Counter("clew_memory_histories", "Histories written through", registry=registry)

    def count(self, entries: Sequence[Entry], now: datetime) -> None:
        """Counts what was committed, once a topic and not once an event."""
        oldest = dict(map(_WRITTEN, reversed(entries)))
        for topic, number in Tally(map(_TOPIC, entries)).items():
            self.projected.labels(topic).inc(number)
            self.delay.labels(topic).observe((now - oldest[topic]).total_seconds())
