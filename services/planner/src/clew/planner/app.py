"""The planner put together: settings in, service out."""

import os
from functools import partial

from clew.chassis.service import Service
from clew.contracts.conversation import ThreadChanged, ThreadCreated, ThreadDeleted, UserMessageReceived
from clew.contracts.execution import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunSuspended,
    SteerMissed,
)
from clew.models import choose_model, model_named
from clew.models.embedding import QUESTION_TIMEOUT, choose_embedder
from clew.planner.agents import PlanMaker
from clew.planner.capabilities import Announcements
from clew.planner.facts import MOMENT, Facts
from clew.planner.handlers import Handlers
from clew.planner.metrics import Metrics
from clew.planner.past import Past
from clew.planner.settings import Settings
from clew.planner.threads import Threads
from clew.views.door import Views


def build(settings: Settings) -> Service:
    """The service, ready to run. ModelConfigError when the environment names a model that cannot be used."""
    service = Service("planner", settings)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    registry = service.metrics.registry
    embedder, url = choose_embedder(settings), settings.database_url.get_secret_value()
    views = service.use(Views(url, redis_url, settings.namespace, registry, embedder))
    past = Past(views)
    threads = Threads(past, service.log, service.decoder)
    announcements = Announcements(service.log, service.decoder)
    plans = service.use(PlanMaker(choose_model(os.environ), partial(model_named, environ=os.environ), settings.limits))

    moment = MOMENT if embedder is None else MOMENT + QUESTION_TIMEOUT
    facts = service.use(Facts(views, Metrics(registry), moment))
    handlers = Handlers(threads, past, facts, plans, announcements)
    service.on(ThreadCreated, handlers.on_thread_created)
    service.on(ThreadChanged, handlers.on_thread_changed)
    service.on(ThreadDeleted, handlers.on_thread_deleted)
    service.on(UserMessageReceived, handlers.on_user_message_received)
    service.on(RunStarted, handlers.on_run_started)
    service.on(RunSuspended, handlers.on_run_suspended)
    service.on(RunResumed, handlers.on_run_resumed)
    service.on(RunCompleted, handlers.on_run_completed)
    service.on(RunFailed, handlers.on_run_failed)
    service.on(RunCancelled, handlers.on_run_cancelled)
    service.on(SteerMissed, handlers.on_steer_missed)
    service.on_partition(threads.recover, threads.forget)
    service.task("shed", threads.shed)
    service.task("capabilities", announcements.follow)
    service.check("views", views.check)
    service.check("capabilities", announcements.missing)
    return service
