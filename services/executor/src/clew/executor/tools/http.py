"""An HTTP client for tools: every request of it carries the idempotency key of the call that it is made in."""

from typing import Any

import httpx2

from clew.executor.under_way import call_under_way, key_of

HEADER = "Idempotency-Key"


def http_client(**options: Any) -> httpx2.AsyncClient:
    """An `httpx2.AsyncClient` with these options, to be used as an async context manager.

    For endpoints that you chose. A URL that came from a model, a user or a document goes through `ctx.deps.egress`.
    Outside of a durable run there is no key, and none is sent.
    """
    client = httpx2.AsyncClient(**options)
    client.event_hooks = {**client.event_hooks, "request": [_with_key, *client.event_hooks["request"]]}
    return client


async def _with_key(request: httpx2.Request) -> None:
    call = call_under_way()
    if call is not None and HEADER not in request.headers:
        request.headers[HEADER] = key_of(call.call_id)
