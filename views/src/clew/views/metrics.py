"""The names of what reading the views measures."""

from prometheus_client import CollectorRegistry, Counter


class Metrics:
    """Counters of one process that reads views."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Histories that were asked for, by what the cache had: hit, miss, stale, corrupt, unavailable. All but a hit
        # are answered from Postgres.
        self.histories = Counter("clew_views_histories", "Histories asked for", ["cache"], registry=registry)
