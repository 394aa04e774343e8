"""What the gateway refuses, and in which words. Nothing is written, and the next message is served."""

import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from clew.gateway.bodies import MAX_BODY
from tests.unit.gateway.conftest import NOBODY, Gateway

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"
deep = "[" * 33 + "]" * 33


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ("{", 400, None),
        ("", 422, "#"),
        ("nonsense", 400, None),
        ('{"content": "a"} more', 400, None),
        ('{"content": NaN}', 400, None),
        ('{"content": "a", "content": ' + "1" * 5000 + "}", 400, None),
        ("[]", 422, "#"),
        ("null", 422, "#"),
        ('"text"', 422, "#"),
        ("{}", 422, "#/content"),
        ('{"content": null}', 422, "#/content"),
        ('{"content": 5}', 422, "#/content"),
        ('{"content": ""}', 422, "#/content"),
        ('{"content": " \\n\\t "}', 422, "#/content"),
        ('{"content": []}', 422, "#/content"),
        ('{"content": [{"type": "text"}]}', 422, "#/content/0/text"),
        ('{"content": [{"type": "text", "text": 5}]}', 422, "#/content/0/text"),
        ('{"content": [{"type": "text", "text": "a", "more": 1}]}', 422, "#/content/0/more"),
        ('{"content": [{"type": "picture"}]}', 422, "#/content/0"),
        ('{"content": [{"type": "document", "document_id": "x"}]}', 422, "#/content/0/document_id"),
        ('{"content": "a", "on_busy": "explode"}', 422, "#/on_busy"),
        ('{"content": "a", "parent_run_id": "x"}', 422, "#/parent_run_id"),
        ('{"content": "a", "model": ""}', 422, "#/model"),
        ('{"content": "a", "attachments": "x"}', 422, "#/attachments"),
        ('{"content": "a", "surprise": 1}', 422, "#/surprise"),
        ('{"content": "a", "x/y~z": 1}', 422, "#/x~1y~0z"),
        ('{"content": "a\\u0000b"}', 422, "#/content"),
        ('{"content": "a\\u001bb"}', 422, "#/content"),
        ('{"content": "\\ud800"}', 422, "#/content"),
        ('{"content": [{"type": "text", "text": "\\udc00"}]}', 422, "#/content/0/text"),
        ('{"content": "a", "\\ud800": 1}', 422, "#"),
        ('{"content": 1e999}', 422, "#/content"),
        ('{"content": ' + deep + "}", 422, "#"),
        ("[" * 100_000, 422, "#"),
        ("[" * 100_000 + "]" * 100_000, 422, "#"),
    ],
)
async def test_a_bad_body_is_refused_with_the_field_named(
    healthy: Gateway, body: str, status: int, pointer: str | None
) -> None:
    answer = await healthy.client.post("/v1/messages", content=body, headers=JSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    document = answer.json()
    assert (document["status"], document["instance"]) == (status, "/v1/messages")
    assert document["type"].startswith("urn:clew:problem:")
    assert document["title"]
    assert document["detail"]
    assert pointer in [None, *(error["pointer"] for error in document.get("errors", []))]


async def test_bytes_that_are_no_utf8_are_refused(healthy: Gateway) -> None:
    answer = await healthy.client.post("/v1/messages", content=b'{"content": "\xff"}', headers=JSON)
    assert answer.status_code == 400


async def test_tabs_line_ends_and_any_script_are_welcome(gateway: Gateway) -> None:
    content = "a\tb\r\nc 💡 \u0645\u0631\u062d\u0628\u0627"
    assert (await gateway.client.post("/v1/messages", json={"content": content})).status_code == 202


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", None])
async def test_only_json_is_taken(healthy: Gateway, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = await healthy.client.post("/v1/messages", content=b'{"content": "a"}', headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (415, PROBLEM)


async def test_json_may_carry_parameters_and_a_suffix(gateway: Gateway) -> None:
    for media_type in ("application/json; charset=utf-8", "application/merge-patch+json"):
        answer = await gateway.client.post(
            "/v1/messages", content=b'{"content": "a"}', headers={"Content-Type": media_type}
        )
        assert answer.status_code == 202


async def test_a_message_over_its_limit_is_too_large(healthy: Gateway) -> None:
    answer = await healthy.client.post("/v1/messages", json={"content": "x" * (1024 * 1024 + 1)})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (413, "#/content")


async def test_a_message_of_exactly_the_limit_is_taken(gateway: Gateway) -> None:
    assert (await gateway.client.post("/v1/messages", json={"content": "\n" * 1024 * 1023 + "x"})).status_code == 202


async def test_reading_stops_at_the_limit_of_a_body_without_end(healthy: Gateway) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10 * MAX_BODY:
            sent += 65536
            yield b" " * 65536

    answer = await healthy.client.post("/v1/messages", content=endless(), headers=JSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, PROBLEM)
    assert sent < 2 * MAX_BODY


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"title": "x" * 201}, "#/title"),
        ({"title": ""}, "#/title"),
        ({"title": 5}, "#/title"),
        ({"metadata": []}, "#/metadata"),
        ({"metadata": {"a": "x" * 17_000}}, "#/metadata"),
        ({"metadata": {"a": "\x00"}}, "#/metadata/a"),
        ({"metadata": {"a\x00": 1}}, "#/metadata"),
    ],
)
async def test_a_bad_thread_is_refused(healthy: Gateway, body: dict[str, object], pointer: str) -> None:
    answer = await healthy.client.post("/v1/threads", json=body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_a_title_cannot_be_patched_away(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    answer = await gateway.client.patch(f"/v1/threads/{thread_id}", json={"title": None})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/title")


@pytest.mark.parametrize(
    "path",
    ["/v1/threads/{id}", "/v1/threads/{id}/messages", "/v1/threads/{id}/runs", "/v1/runs/{id}", "/v1/runs/{id}/events"],
)
@pytest.mark.parametrize("name", [NOBODY, "nonsense", "%00", "0" * 300])
async def test_unknown_ids_are_not_found(healthy: Gateway, path: str, name: str) -> None:
    answer = await healthy.client.get(path.format(id=name))
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, PROBLEM)


async def test_a_message_for_an_unknown_thread_is_not_found(healthy: Gateway) -> None:
    answer = await healthy.client.post(f"/v1/threads/{uuid4()}/messages", json={"content": "a"})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/threads?limit=0", "query/limit"),
        ("/v1/threads?limit=201", "query/limit"),
        ("/v1/threads?limit=x", "query/limit"),
        ("/v1/threads?after=nonsense", "query/after"),
        ("/v1/runs?after=%00", "query/after"),
        ("/v1/runs?after=%E2%82%AC", "query/after"),
        ("/v1/runs?status=sleeping", "query/status"),
        ("/v1/runs?thread_id=x", "query/thread_id"),
        ("/v1/tools?format=xml", "query/format"),
    ],
)
async def test_a_bad_question_is_refused(healthy: Gateway, path: str, pointer: str) -> None:
    answer = await healthy.client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, PROBLEM)
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_cursor_of_another_run_is_refused(gateway: Gateway) -> None:
    run_id = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()["run_id"]
    for place in ("nonsense", f"{uuid4()}:0", f"{run_id}:-1", f"{run_id}:1.0", "\u00e9"):
        path = f"/v1/runs/{run_id}/events"
        asked = await gateway.client.get(path, params={"after": place})
        assert (asked.status_code, asked.json()["errors"][0]["pointer"]) == (422, "query/after")
        resumed = await gateway.client.get(
            path, headers={b"Accept": b"text/event-stream", b"Last-Event-ID": place.encode()}
        )
        assert (resumed.status_code, resumed.json()["errors"][0]["pointer"]) == (422, "header/Last-Event-ID")


@pytest.mark.parametrize("position", ["nonsense", "user-messages:0", "plans:0:1", "user-messages:0:-1", "a:b:c:d", ""])
async def test_a_position_that_was_never_given_is_refused(healthy: Gateway, position: str) -> None:
    answer = await healthy.client.get("/v1/threads", headers={"Clew-Position": position})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "header/Clew-Position")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "caf\u00e9"])
async def test_a_bad_key_is_refused(healthy: Gateway, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = await healthy.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "header/Idempotency-Key")


async def test_wrong_paths_and_methods_are_problems_too(healthy: Gateway) -> None:
    for method, path, status in [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/threads/", 404),
        ("PUT", "/v1/threads", 405),
        ("GET", "/v1/messages", 405),
        ("GET", "/v1/ws", 404),
    ]:
        answer = await healthy.client.request(method, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM), path
        assert answer.json()["instance"] == path


async def test_a_bug_is_a_problem_that_tells_nothing_and_is_raised_for_the_log(gateway: Gateway) -> None:
    gateway.views.log = None  # type: ignore[assignment]  # the bug
    with pytest.raises(AttributeError):
        await gateway.client.get("/v1/threads")


def test_the_example_of_a_deep_body_is_just_over_the_limit() -> None:
    assert json.loads(deep)
