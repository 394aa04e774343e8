"""The names of what the planner measures."""

from prometheus_client import CollectorRegistry, Counter


class Metrics:
    """Counters of the planner, in the registry of its service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Messages that were planned without what is remembered of their sender: the views were away, or not quick.
        self.facts_missed = Counter("clew_planner_facts_missed", "Plans without facts", registry=registry)
