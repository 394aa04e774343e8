"""The names of what reading the views measures."""

from prometheus_client import CollectorRegistry, Counter


class Metrics:
    """Counters of one process that reads views."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Histories that were asked for, by what the cache had: hit, miss, stale, corrupt, unavailable. All but a hit
        # are answered from Postgres.
        self.histories = Counter("clew_views_histories", "Histories asked for", ["cache"], registry=registry)
        # Searches of memories, by what answered: meaning, or words (no model is named, its server did not give the
        # vector of the question at once, or Postgres cannot compare).
        self.fact_searches = Counter("clew_views_fact_searches", "Searches of memories", ["by"], registry=registry)
