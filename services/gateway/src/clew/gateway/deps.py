"""What the endpoints work with, put together once in `app.build`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from clew.chassis.clock import Clock
from clew.chassis.publish import Publisher
from clew.gateway.auth import Principal
from clew.gateway.ids import Recent
from clew.gateway.leaving import Streams
from clew.gateway.news import News
from clew.gateway.storage import DocumentStore
from clew.views.database import POOL
from clew.views.door import Views


@dataclass(frozen=True, slots=True)
class Deps:
    """`ends` tells where each partition of a topic ends now. `stopping` is set when the process is about to leave."""

    publisher: Publisher
    views: Views
    ends: Callable[[str], Awaitable[Mapping[int, int]]]
    files: DocumentStore
    clock: Clock
    new_id: Callable[[], UUID]
    stopping: asyncio.Event
    recent: Recent = field(default_factory=Recent)
    news: News = field(default_factory=News)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(POOL))  # questions about single things
    streams: Streams = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", Streams(self.stopping))


class BearerToken(SecurityBase):
    """Who is asking, as `edge.Edge` has found out before any route; the OpenAPI page says how one tells."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An API key; none is needed with `CLEW_AUTH=none`")
        self.scheme_name = "HTTPBearer"

    async def __call__(self, request: Request) -> Principal:  # not a plain function: that would cost a thread
        principal: Principal = request.state.principal
        return principal


async def deps_of(request: Request) -> Deps:
    """What `app.create_app` was given."""
    deps: Deps = request.app.state.deps
    return deps


Caller: TypeAlias = Annotated[Principal, Depends(BearerToken())]
Given: TypeAlias = Annotated[Deps, Depends(deps_of)]
