"""Where a recorded run comes from: memory's views, which hold every event of it that counts, whole and in order.

For operators: the connection is the one that services are given. The gateway's API leaves out what clients do not need.
"""

from uuid import UUID

import click
from pydantic import ValidationError

from clew.chassis.settings import DatabaseSettings
from clew.cli.errors import Unknown, Unreachable
from clew.replay.recording import Recording
from clew.views.database import ViewsUnavailable
from clew.views.door import Views


def settings() -> DatabaseSettings:
    """UsageError names the variable that is missing or wrong."""
    try:
        return DatabaseSettings.model_validate({})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise click.UsageError(
            f"this command reads memory's views, and the environment does not say where: {'; '.join(faults)}"
        ) from error


async def recorded(run_id: UUID, tenant_id: str, where: DatabaseSettings) -> Recording:
    """The run as it stands. Unknown when the tenant has no such run, Unreachable when the views do not answer."""
    try:
        async with Views(where.database_url.get_secret_value(), None, where.namespace) as views:
            tenant = views.tenant(tenant_id)
            events = await tenant.recorded(run_id)
            if not events:
                raise Unknown(f"tenant {tenant_id} has no run {run_id}")
            recording = Recording(events)
            plan = recording.plan
            if plan is None or plan.parent_run_id is None:
                return recording
            said = await tenant.messages(plan.thread_id, plan.parent_run_id)
            return Recording(events, said, (), await tenant.summaries(plan.thread_id))
    except ViewsUnavailable as error:
        raise Unreachable(f"memory's views cannot be read: {error}") from error
