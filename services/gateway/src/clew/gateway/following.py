"""Waiting for a run on behalf of a caller who would rather have its end than a promise."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID

from clew.contracts.envelope import Position
from clew.gateway.auth import Principal
from clew.gateway.deps import Deps
from clew.views.database import ViewsUnavailable
from clew.views.fanout import Torn
from clew.views.models import Run


async def until_at_rest(deps: Deps, caller: Principal, run_id: UUID, position: Position, seconds: int) -> Run | None:
    """The run once it has ended or is suspended; None when that did not come within `seconds`, or cannot be told."""
    rest = asyncio.ensure_future(_at_rest(deps, caller, run_id, position, timedelta(seconds=seconds)))
    stop = asyncio.ensure_future(deps.stopping.wait())
    try:
        await asyncio.wait([rest, stop], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return rest.result() if rest.done() else None
    except (ViewsUnavailable, Torn):
        return None
    finally:
        rest.cancel()
        stop.cancel()


async def _at_rest(deps: Deps, caller: Principal, run_id: UUID, position: Position, patience: timedelta) -> Run | None:
    if not await deps.views.passed(position, patience):
        return None
    views = deps.views.tenant(caller.tenant_id)
    async with aclosing(views.follow(run_id)) as events:
        async for event in events:
            if event.final or event.type == "run.suspended":
                run = await views.run(run_id)
                if run is not None and (run.ended or run.status == "suspended"):
                    return run
    return None
