"""The executor put together: settings in, service out."""

import logging
import os
import sys
from importlib.metadata import version

import httpx2

from clew.chassis.clock import new_id, now
from clew.chassis.service import Service
from clew.contracts.conversation import RunCancelRequested
from clew.contracts.envelope import SYSTEM_TENANT, root_stamp
from clew.contracts.execution import CapabilitiesAnnounced
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.executor.agents import Agents, Limits, Ports
from clew.executor.conversation import Conversations
from clew.executor.documents import DocumentPassages
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.handlers import Identity, RunHandlers
from clew.executor.recovery import Recovery
from clew.executor.search import search_provider
from clew.executor.settings import Settings
from clew.executor.tools import builtin_tools, load_tools
from clew.models import ModelChoice, choose_model
from clew.views.door import Views

log = logging.getLogger(__name__)


def build(settings: Settings) -> Service:
    """The service, ready to run. Exits with one line when the environment names what cannot be used."""
    try:
        return _built(settings, choose_model(os.environ), EgressPolicy.from_environ(os.environ))
    except ValueError as error:
        sys.exit(f"clew executor cannot start: {error}")


def _built(settings: Settings, model: ModelChoice, egress: EgressPolicy) -> Service:
    service = Service("executor", settings)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    views = service.use(Views(settings.database_url.get_secret_value(), redis_url, settings.namespace))
    client = service.use(httpx2.AsyncClient(timeout=settings.tool_endpoint_seconds))
    ports = Ports(
        egress=EgressClient(egress),
        search=search_provider(os.environ, client),
        documents=DocumentPassages(views),
    )
    limits = Limits(settings.model_policy, settings.step_requests, settings.tool_result_bytes)
    tools = builtin_tools()
    if settings.tools_path is not None:
        load_tools(settings.tools_path, tools)
    agents = Agents(tools, model, os.environ, Conversations(views), ports, limits, now)

    recovery = Recovery(views.recovery, service.log, service.decoder.event)
    identity = Identity(model.name, version("clew-executor"))
    handlers = RunHandlers(service.publisher.send, now, recovery, agents.performer, identity)
    service.on(PlanCreated, handlers.on_plan_created)
    service.on(PlanFailed, handlers.on_plan_failed)
    service.on(RunCancelRequested, handlers.on_run_cancel_requested)
    service.on_partition(handlers.recover, handlers.forget)
    service.task("announcement", lambda: _announce(service, agents, model))
    service.check("views", views.check)
    return service


async def _announce(service: Service, agents: Agents, model: ModelChoice) -> None:
    """Tells planner and gateway what there is, and the operator when the model is only a stand-in."""
    if model.banner:
        log.warning(model.banner)
    offered, tools = agents.announced()
    stamp = root_stamp(new_id(), SYSTEM_TENANT, now())
    await service.publisher.publish(CapabilitiesAnnounced(**stamp, source="executor", agents=offered, tools=tools))
