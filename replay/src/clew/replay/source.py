"""Where a recorded run comes from: memory's views, which hold every event of it that counts, whole and in order.

For operators: the connection is the one that services are given. The gateway's API leaves out what clients do not need.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import click
from pydantic import ValidationError

from clew.chassis.settings import DatabaseSettings, faults
from clew.cli.errors import Unknown
from clew.contracts.execution import RunStarted
from clew.replay.errors import NoViews
from clew.replay.recording import Recording
from clew.views.database import ViewsUnavailable
from clew.views.door import Views
from clew.views.tenant import TenantViews

PAGE: Final = 200  # runs that are asked for at once
T = TypeVar("T")


def settings() -> DatabaseSettings:
    """UsageError names the variable that is missing or wrong."""
    try:
        return DatabaseSettings.model_validate({})
    except ValidationError as error:
        raise click.UsageError(
            f"this command reads memory's views, and the environment does not say where: {faults(error)}"
        ) from error


async def recorded(run_id: UUID, tenant_id: str, where: DatabaseSettings) -> Recording:
    """The run as it stands. Unknown when the tenant has no such run, NoViews when they do not answer."""
    async with _views(where) as views:
        recording = await _recording(views.tenant(tenant_id), run_id)
    if recording is None:
        raise Unknown(f"tenant {tenant_id} has no run {run_id}")
    return recording


async def sampled(
    since: datetime, number: int | None, tenant_id: str, where: DatabaseSettings
) -> AsyncGenerator[Recording]:
    """The runs that began after a moment; no more than `number` of them, evenly spread, the newest first. Those that
    are parked or under way are among them, those that never began are not. Errors as of `recorded`."""
    async with _views(where) as views:
        tenant = views.tenant(tenant_id)
        runs = [run_id async for run_id in _since(tenant, since)]
        for run_id in spread(runs, number or len(runs)):
            recording = await _recording(tenant, run_id)
            if recording is not None and any(isinstance(event, RunStarted) for event in recording.events):
                yield recording


def spread(items: Sequence[T], number: int) -> list[T]:
    """At most `number` of the items, at equal distances, the first among them."""
    if len(items) <= number:
        return list(items)
    return [items[place * len(items) // number] for place in range(number)]


async def _since(tenant: TenantViews, since: datetime) -> AsyncIterator[UUID]:
    after: str | None = None
    while True:
        page = await tenant.runs(after=after, limit=PAGE)
        for run in page.items:
            if run.created_at < since:
                return
            if run.started_at is not None:
                yield run.id
        if (after := page.next) is None:
            return


async def _recording(tenant: TenantViews, run_id: UUID) -> Recording | None:
    events = await tenant.recorded(run_id)
    if not events:
        return None
    recording = Recording(events)
    plan = recording.plan
    if plan is None or plan.parent_run_id is None:
        return recording
    said = await tenant.messages(plan.thread_id, plan.parent_run_id)
    summaries = await tenant.summaries(plan.thread_id)
    return Recording(events, said, (), summaries, await tenant.any_untrusted(said))


@asynccontextmanager
async def _views(where: DatabaseSettings) -> AsyncGenerator[Views]:
    try:
        async with Views(where.database_url.get_secret_value(), None, where.namespace) as views:
            yield views
    except ViewsUnavailable as error:
        raise NoViews(f"memory's views cannot be read: {error}") from error
