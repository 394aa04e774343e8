"""The names of everything the chassis measures. One registry per process, made with its `Service`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters and gauges of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Events whose handler has ended well, by topic and type.
        self.handled = self._counter("clew_events_handled", "Events handled", "topic", "type")
        # Tries of a handler that raised something other than RejectEvent.
        self.failures = self._counter("clew_handler_failures", "Handlers that failed and were tried again", "topic")
        # Records whose handler asked for a later try.
        self.put_off = self._counter("clew_records_put_off", "Records put off by their handler", "topic")
        # Records of types that this version does not know. Not an error: a newer service wrote them.
        self.unknown = self._counter("clew_events_unknown", "Records of unknown types, skipped", "topic")
        # Records that went to the dead letters.
        self.dead_letters = self._counter("clew_dead_letters", "Records sent to the dead letters", "topic", "reason")
        # Time from the record's own timestamp to the end of its handler.
        self.delay = Histogram(
            "clew_event_delay_seconds", "From written to handled", ["topic"], registry=self.registry, buckets=SECONDS
        )
        # Records fetched and not finished; above the limit, work is paused.
        self.open_records = Gauge("clew_open_records", "Records in hand", registry=self.registry)
        # Partitions that this process owns, over all topics.
        self.partitions = Gauge("clew_partitions", "Partitions owned", registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)
