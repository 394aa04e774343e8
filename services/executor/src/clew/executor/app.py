"""The executor put together: settings in, service out."""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version

import httpx2
from prometheus_client import CollectorRegistry

from clew.chassis.claims import CLAIMED_TOPIC
from clew.chassis.clock import new_id, now
from clew.chassis.follower import Follower
from clew.chassis.service import Service
from clew.contracts.conversation import (
    ApprovalDecided,
    ChildRunEnded,
    RunCancelRequested,
    RunForkRequested,
    RunResumeRequested,
    RunSteered,
)
from clew.contracts.envelope import SYSTEM_TENANT, root_stamp
from clew.contracts.execution import CapabilitiesAnnounced
from clew.contracts.planning import PlanCreated, PlanFailed
from clew.executor.agents import Agents, Limits, Ports
from clew.executor.before import Before
from clew.executor.conversation import Conversations
from clew.executor.documents import DocumentPassages
from clew.executor.draining import drain
from clew.executor.egress import EgressClient
from clew.executor.egress_policy import EgressPolicy
from clew.executor.facts import Facts
from clew.executor.handlers import RunHandlers
from clew.executor.holding import Ownership
from clew.executor.letters import UnreadablePlans
from clew.executor.metrics import Metrics
from clew.executor.overdue import Overdue
from clew.executor.ownership import Owners
from clew.executor.past import PartitionPast
from clew.executor.ports import Group
from clew.executor.quarantine import Alone
from clew.executor.recall import Recall
from clew.executor.runs import Runs
from clew.executor.search import search_provider
from clew.executor.settings import Settings
from clew.executor.signals import Signals
from clew.executor.tools import ToolRegistry, builtin_tools, load_tools
from clew.executor.tools.endpoints import add_endpoints
from clew.executor.tools.mcp import McpServers
from clew.executor.tools.toolfile import read_tool_files
from clew.executor.working import Identity, Performer
from clew.models import ModelChoice, choose_model
from clew.models.embedding import choose_embedder
from clew.views.door import Views

ROOM_MARGIN = timedelta(minutes=10)  # a plan waits for room as long as a run may last
log = logging.getLogger(__name__)


def build(settings: Settings) -> Service:
    """The service, ready to run. Exits with one line when the environment names what cannot be used."""
    try:
        return _built(settings, choose_model(os.environ), EgressPolicy.from_environ(os.environ))
    except ValueError as error:
        sys.exit(f"clew executor cannot start: {error}")


def _built(settings: Settings, model: ModelChoice, egress: EgressPolicy) -> Service:
    service = Service("executor", settings)
    views = service.use(_views(settings, service.metrics.registry))
    tools, servers = _tools(settings)
    agents = _agents(settings, model, egress, views, service.use(_client(settings)), tools)
    service.use(servers)
    follower = service.use(Follower(settings, CLAIMED_TOPIC))

    def taken(owned: Ownership, past: PartitionPast) -> None:
        runs.taken(owned, past)
        overdue.taken(owned.partition)

    def lost(partition: int) -> None:
        overdue.lost(partition)
        runs.lost(partition)

    owners = _owners(service, views, follower, taken, lost)
    service.use(owners)
    before = Before(views.recovery, now)
    identity = Identity(model.name, version("clew-executor"))
    metrics = Metrics(service.metrics.registry)
    performer, limits, alone = agents.performer, settings.run_limits, Alone(os.environ)
    runs = service.use(Runs(owners, now, performer, identity, limits, alone, before, metrics.note_suspended))
    metrics.under_way.set_function(lambda: len(runs.live))
    overdue = Overdue(views.recovery, runs.timers, now)
    signals = Signals(runs)
    _register(service, RunHandlers(signals), settings)
    service.on_dead_letter("plans", UnreadablePlans(views.recovery, signals.cannot_be_read).ended)
    service.on_partition(owners.recover, owners.forget, partial(drain, runs))
    service.task("owners", owners.watch)
    service.task("overdue", overdue.run)
    service.health.live["owners"] = owners.stuck
    service.task("announcement", lambda: _announce(service, agents, model))
    service.check("views", views.check)
    return service


def _owners(
    service: Service,
    views: Views,
    follower: Follower,
    taken: Callable[[Ownership, PartitionPast], None],
    lost: Callable[[int], None],
) -> Owners:
    return Owners(
        f"executor-{os.getpid()}",
        Recall(views.recovery, service.log, service.decoder.event),
        follower,
        service.publisher,
        Group(service.lease, service.still_member),
        now,
        new_id,
        taken,
        lost,
    )


def _register(service: Service, handlers: RunHandlers, settings: Settings) -> None:
    patience = timedelta(seconds=settings.run_seconds) + ROOM_MARGIN
    service.on(PlanCreated, handlers.on_plan_created, limit=patience)  # it may wait for a run that is under way
    service.on(PlanFailed, handlers.on_plan_failed)
    service.on(RunForkRequested, handlers.on_run_fork_requested, limit=patience)
    service.on(RunCancelRequested, handlers.on_run_cancel_requested)
    service.on(ApprovalDecided, handlers.on_approval_decided)
    service.on(ChildRunEnded, handlers.on_child_run_ended)
    service.on(RunSteered, handlers.on_run_steered)
    service.on(RunResumeRequested, handlers.on_run_resume_requested)


@asynccontextmanager
async def performing(settings: Settings) -> AsyncGenerator[Performer]:
    """What performs the steps of runs, without a service around it: for the one run of a child process."""
    model, egress = choose_model(os.environ), EgressPolicy.from_environ(os.environ)
    tools, servers = _tools(settings)
    async with _views(settings) as views, _client(settings) as client, servers:
        yield _agents(settings, model, egress, views, client, tools).performer


def _views(settings: Settings, registry: CollectorRegistry | None = None) -> Views:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    url = settings.database_url.get_secret_value()
    return Views(url, redis_url, settings.namespace, registry, choose_embedder(settings))


def _client(settings: Settings) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=settings.tool_endpoint_seconds)


def _tools(settings: Settings) -> tuple[ToolRegistry, McpServers]:
    """The tools of this package and of the operator's folder; those of MCP servers come once they are entered."""
    tools = builtin_tools()
    if settings.tools_path is None:
        return tools, McpServers([], tools)
    load_tools(settings.tools_path, tools)
    sections = read_tool_files(settings.tools_path)
    add_endpoints(sections, tools)
    return tools, McpServers(sections, tools)


def _agents(
    settings: Settings,
    model: ModelChoice,
    egress: EgressPolicy,
    views: Views,
    client: httpx2.AsyncClient,
    tools: ToolRegistry,
) -> Agents:
    ports = Ports(
        egress=EgressClient(egress),
        search=search_provider(os.environ, client),
        documents=DocumentPassages(views),
        facts=Facts(views),
    )
    limits = Limits(
        settings.model_policy, settings.step_requests, settings.tool_result_bytes, settings.history_characters
    )
    return Agents(tools, model, os.environ, Conversations(views), ports, limits, now)


async def _announce(service: Service, agents: Agents, model: ModelChoice) -> None:
    """Tells planner and gateway what there is, and the operator when the model is only a stand-in."""
    if model.banner:
        log.warning(model.banner)
    offered, tools = agents.announced()
    stamp = root_stamp(new_id(), SYSTEM_TENANT, now())
    await service.publisher.publish(CapabilitiesAnnounced(**stamp, source="executor", agents=offered, tools=tools))
