"""The composition root: settings in, parts built, routers mounted, service out."""

from importlib.metadata import version
from typing import cast

from fastapi import FastAPI

from clew.chassis import clock
from clew.chassis.errors import StartError
from clew.chassis.health import ASGIApp
from clew.chassis.service import Service
from clew.gateway import live
from clew.gateway.answers import PROBLEM
from clew.gateway.auth import ApiKeys, Authenticator, nobody_asked
from clew.gateway.deps import Deps
from clew.gateway.edge import Edge, Gate, Origins
from clew.gateway.errors import install
from clew.gateway.rest import (
    agui,
    capabilities,
    chat_completions,
    contracts,
    documents,
    events,
    memories,
    messages,
    moments,
    runs,
    steering,
    threads,
)
from clew.gateway.settings import Settings
from clew.gateway.storage import connect
from clew.models.embedding import choose_embedder
from clew.views.door import Views

ABOUT = """
Every write is an event in the log: 202 means that it is there. `Idempotency-Key` makes a repeat safe, `Clew-Position`
carries what you have written to your next read. Errors are RFC 9457 problem details.
The events themselves, and the topics that carry them, are told under [/asyncapi](/asyncapi).

Limits: request body 4 MiB, message 1 MiB of text, title 200 characters, metadata 16 KiB, JSON 32 deep, pages of 200.
Texts hold no control characters but tab and line ends.
"""
REST = (
    threads,
    messages,
    runs,
    steering,
    moments,
    events,
    agui,
    chat_completions,
    documents,
    memories,
    capabilities,
    contracts,
)


def build(settings: Settings) -> Service:
    service = Service("gateway", settings)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    url, registry = settings.database_url.get_secret_value(), service.metrics.registry
    views = service.use(Views(url, redis_url, settings.namespace, registry, choose_embedder(settings)))
    files = service.use(connect(settings, settings.s3_public_endpoint))
    gate = service.use(Gate())
    deps = Deps(service.publisher, views, service.log.ends, files, clock.now, clock.new_id, service.stopping)
    origins = Origins(settings.allowed_origins, local_only=settings.auth == "none")
    edge = Edge(live.beside(create_app(deps), deps), authenticator(settings, service), origins, gate, clock.new_id)
    service.serve(cast(ASGIApp, edge), settings.host, settings.port)
    service.check("views", views.check)
    service.check("live store", views.check_live, needed=False)
    service.task("streams", deps.streams.see_off)
    return service


def authenticator(settings: Settings, service: Service) -> Authenticator:
    """Who may come in. StartError when the settings leave it open."""
    if settings.auth == "none":
        return nobody_asked(settings.host)
    if settings.api_keys_file is None:
        raise StartError("CLEW_AUTH=api-key needs CLEW_API_KEYS_FILE: make one with `clew keys create`")
    keys = ApiKeys(settings.api_keys_file)
    service.check("api keys", keys.check)
    return keys


def create_app(deps: Deps) -> FastAPI:
    """The REST API as an ASGI application, without the WebSocket (`live`) and what stands before both (`edge`)."""
    app = FastAPI(title="Clew", version=version("clew-gateway"), description=ABOUT, redirect_slashes=False)
    install(app)
    app.state.deps = deps
    for routes in REST:
        app.include_router(routes.router, responses={"4XX": PROBLEM, "503": PROBLEM})
    return app
