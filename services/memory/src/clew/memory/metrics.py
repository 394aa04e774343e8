"""The names of everything memory measures."""

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)


class Metrics:
    """Counters and gauges of memory, in the registry of its service."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        # Time from a record's own timestamp to its rows, by topic: how far the views are behind.
        self.delay = Histogram(
            "clew_memory_delay_seconds", "From written to projected", ["topic"], registry=registry, buckets=SECONDS
        )
        # Times that Postgres could not be used and the batch waited.
        self.postgres_failures = Counter("clew_memory_postgres_failures", "Failed tries", registry=registry)
        # Times that Redis could not be used; the views stay right, live streams fall back to them.
        self.redis_failures = Counter("clew_memory_redis_failures", "Failed writes to Redis", registry=registry)
