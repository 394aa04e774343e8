"""Whatever comes in: never a 500, never a 2xx for something that was not appended to the log."""

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gateway_ports import MemoryLog, MemoryViews
from tests.unit.gateway.conftest import build, client_of

texts = st.text(st.characters(), max_size=40)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["content", "title", "metadata", "on_busy", "parent_run_id", "model", "attachments", "reason"])
plausible = st.fixed_dictionaries({"content": texts}, optional={"on_busy": st.sampled_from(["enqueue", "reject", "x"])})
bodies = (
    st.binary(max_size=60)
    | trees.map(lambda tree: json.dumps(tree).encode())
    | st.dictionaries(fields, trees, max_size=4).map(lambda tree: json.dumps(tree).encode())
    | plausible.map(lambda tree: json.dumps(tree).encode())
)
names = st.just("known") | st.just(str(uuid4())) | st.text(min_size=1, max_size=9).filter(lambda name: "/" not in name)
places = st.sampled_from(
    [
        ("POST", "/v1/threads"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/threads/{name}/messages"),
        ("PATCH", "/v1/threads/{name}"),
        ("DELETE", "/v1/threads/{name}"),
        ("POST", "/v1/runs/{name}/cancel"),
        ("GET", "/v1/threads/{name}"),
        ("GET", "/v1/runs"),
        ("GET", "/v1/runs/{name}/events"),
        ("GET", "/v1/threads/{name}/messages"),
    ]
)
queries = st.dictionaries(
    st.sampled_from(["after", "limit", "status", "run_id", "thread_id", "format"]), texts, max_size=2
)
headers = st.dictionaries(
    st.sampled_from(["Idempotency-Key", "Prefer", "Clew-Position", "Last-Event-ID", "Content-Type", "traceparent"]),
    st.binary(max_size=20).filter(lambda raw: not set(raw) & {0, 10, 13}),
    max_size=3,
)


async def ask(
    log: MemoryLog,
    client: httpx2.AsyncClient,
    place: tuple[str, str],
    name: str,
    body: bytes,
    query: dict[str, str],
    extra: dict[str, bytes],
) -> None:
    log.events.clear()
    known = (await client.post("/v1/messages", json={"content": "a"})).json()
    written = len(log.events)
    method, path = place
    known_name: str = known["run_id"] if "/runs/" in path else known["thread_id"]
    url = path.format(name=known_name if name == "known" else quote(name, safe="", errors="replace"))
    sent = {b"Content-Type": b"application/json"} | {key.encode(): value for key, value in extra.items()}
    params = {key: text.encode("utf-8", "replace").decode() for key, text in query.items()}
    content = b"" if method == "GET" else body
    answer = await client.request(method, url, content=content, headers=sent, params=params)
    assert answer.status_code in {200, 201, 202, 400, 404, 405, 409, 413, 415, 422}
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert len(log.events) == written
    elif method != "GET" and not (method == "PATCH" and "Clew-Position" not in answer.headers):
        assert len(log.events) > written
        assert answer.headers["Clew-Position"].endswith(f":{len(log.events) - 1}")


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[asyncio.Runner, MemoryLog, httpx2.AsyncClient]]:
    log = MemoryLog()
    with asyncio.Runner() as runner:
        client = client_of(build(log, MemoryViews(log))[0])
        yield runner, log, client
        runner.run(client.aclose())


@settings(max_examples=150, deadline=None)
@given(places, names, bodies, queries, headers)
def test_any_request_gets_an_answer_that_is_true(
    gateway: tuple[asyncio.Runner, MemoryLog, httpx2.AsyncClient],
    place: tuple[str, str],
    name: str,
    body: bytes,
    query: dict[str, str],
    extra: dict[str, bytes],
) -> None:
    runner, log, client = gateway
    runner.run(ask(log, client, place, name, body, query, extra))
