"""Memory, put together: settings in, service out."""

from collections.abc import Sequence

from clew.chassis import clock
from clew.chassis.service import Service
from clew.contracts.envelope import Event
from clew.contracts.execution import TokenDelta
from clew.contracts.topics import load_topics, topic_of
from clew.memory.decoding import decoded
from clew.memory.histories import Histories
from clew.memory.intake import Intake
from clew.memory.lag import Lag
from clew.memory.live import LiveStreams, tokens_handler
from clew.memory.metrics import Metrics
from clew.memory.projector import Projector
from clew.memory.settings import Settings
from clew.memory.store import Store
from clew.memory.vectors import Vectors
from clew.models.embedding import choose_embedder
from clew.views.door import Views
from clew.views.names import Schemas

TOKENS = topic_of(TokenDelta).name
PROJECTED = [topic.name for topic in load_topics().read_by("memory") if topic.name != TOKENS]


def build(settings: Settings) -> Service:
    """The service, ready to run."""
    service = Service("memory", settings)
    metrics = Metrics(service.metrics.registry)
    redis_url = None if settings.redis_url is None else settings.redis_url.get_secret_value()
    schemas, database_url = Schemas.of(settings.namespace), settings.database_url.get_secret_value()
    store = service.use(Store(database_url, schemas))
    live = service.use(LiveStreams(redis_url, settings.namespace, clock.now, metrics, store.live_runs))
    intake = Intake(service.decoder.event, service.publisher.publish, clock.now, metrics)
    views = service.use(Views(database_url, redis_url, settings.namespace, service.metrics.registry))
    histories = Histories(views, clock.now, metrics)
    vectors = service.use(Vectors(database_url, schemas, choose_embedder(settings), metrics))

    async def projected(events: Sequence[Event]) -> None:
        await live.on_projected(events)
        histories.on_projected(events)
        vectors.on_projected(events)

    projector = service.use(Projector(store, service.log, intake, projected, PROJECTED, clock.now, metrics))

    service.on_batch(PROJECTED, decoded, projector.on_records)
    service.on_batch([TOKENS], lambda record: record, tokens_handler(intake.entry, live), group="memory-tokens")
    service.task("projector", projector.watch)
    service.task("vectors", vectors.keep)
    lag = Lag(service.log, PROJECTED, projector.places, clock.now, metrics)
    service.task("lag", lag.watch)
    if redis_url is not None:
        service.task("histories", histories.write)
    service.check("lag", lag.ready)
    service.check("projection", projector.ready)
    return service
