"""What stands before every request."""

from uuid import UUID

import pytest

from clew.chassis.telemetry import TRACEPARENT
from tests.unit.gateway.conftest import Gateway, build, client_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_every_answer_names_its_request_and_its_trace(gateway: Gateway) -> None:
    for path in ("/v1/threads", "/v1/nowhere", "/openapi.json", "/v1/threads?limit=0"):
        answer = await gateway.client.get(path)
        assert UUID(answer.headers["X-Request-Id"])
        assert TRACEPARENT.fullmatch(answer.headers["traceparent"])


async def test_a_request_that_has_a_name_and_a_trace_keeps_them(gateway: Gateway) -> None:
    answer = await gateway.client.get("/v1/threads", headers={"X-Request-Id": "req-1", "traceparent": TRACE})
    assert answer.headers["X-Request-Id"] == "req-1"
    assert answer.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]


@pytest.mark.parametrize(
    ("name", "bad"), [("X-Request-Id", "x" * 200), ("X-Request-Id", "a b"), ("traceparent", "00-0-0-00")]
)
async def test_a_bad_name_or_trace_is_replaced(healthy: Gateway, name: str, bad: str) -> None:
    answer = await healthy.client.get("/v1/threads", headers={name: bad})
    assert answer.status_code == 200
    assert answer.headers[name] != bad


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://[", ""])
async def test_a_page_of_another_site_may_not_speak_for_its_reader(healthy: Gateway, origin: str) -> None:
    answer = await healthy.client.post("/v1/messages", json={"content": "a"}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert healthy.log.events == []


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://app.example"])
async def test_our_own_page_and_named_ones_may(gateway: Gateway, origin: str) -> None:
    answer = await gateway.client.post("/v1/messages", json={"content": "a"}, headers={"Origin": origin})
    assert answer.status_code == 202


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.1", "[", "127.0.0.1.evil.example"])
async def test_a_host_name_that_was_bent_to_this_machine_is_refused(healthy: Gateway, host: str) -> None:
    assert (await healthy.client.get("/v1/threads", headers={"Host": host})).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
async def test_this_machine_has_several_names(healthy: Gateway, host: str) -> None:
    assert (await healthy.client.get("/v1/threads", headers={"Host": host})).status_code == 200


async def test_nothing_is_asked_of_parts_that_are_not_there_yet(gateway: Gateway) -> None:
    app, _, gate = build(gateway.log, gateway.views)
    gate.open = False
    async with client_of(app) as client:
        assert (await client.get("/v1/threads")).status_code == 503
        async with gate:
            assert (await client.get("/v1/threads")).status_code == 200
        assert (await client.get("/v1/threads")).status_code == 503


async def test_a_scheme_that_is_not_known_is_refused(gateway: Gateway) -> None:
    answer = await gateway.client.get("/v1/threads", headers={"Authorization": "Basic YTpi"})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="clew"')
