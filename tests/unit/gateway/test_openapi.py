"""The OpenAPI page says what the API does."""

import asyncio
from typing import Any

import pytest

from clew.contracts.conversation import UserMessageReceived
from tests.support.gateway_ports import completed
from tests.unit.gateway.conftest import Gateway

MUTATING = ("post", "patch", "put")


@pytest.fixture
async def page(gateway: Gateway) -> dict[str, Any]:
    return (await gateway.client.get("/openapi.json")).json()


def schema_of(page: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    schema = content["application/json"]["schema"]
    schema = next((option for option in schema.get("anyOf", []) if "$ref" in option), schema)
    return page["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_every_call_of_the_api_is_there(page: dict[str, Any]) -> None:
    calls = {f"{method.upper()} {path}" for path, item in page["paths"].items() for method in item}
    assert calls >= {
        "POST /v1/threads",
        "GET /v1/threads",
        "GET /v1/threads/{thread_id}",
        "PATCH /v1/threads/{thread_id}",
        "DELETE /v1/threads/{thread_id}",
        "POST /v1/threads/{thread_id}/messages",
        "GET /v1/threads/{thread_id}/messages",
        "GET /v1/threads/{thread_id}/runs",
        "POST /v1/messages",
        "GET /v1/runs",
        "GET /v1/runs/{run_id}",
        "GET /v1/runs/{run_id}/events",
        "POST /v1/runs/{run_id}/cancel",
        "POST /v1/agui",
        "GET /v1/agui/{thread_id}/{run_id}",
        "POST /v1/chat/completions",
        "GET /v1/tools",
        "GET /v1/agents",
    }


def test_every_body_has_an_example_that_the_gateway_takes(page: dict[str, Any]) -> None:
    seen = 0
    for item in page["paths"].values():
        for method in set(item) & set(MUTATING):
            content = item[method].get("requestBody", {}).get("content")
            if content is not None:
                assert schema_of(page, content)["examples"]
                seen += 1
    assert seen >= 5


async def test_the_examples_of_messages_and_threads_are_accepted(gateway: Gateway, page: dict[str, Any]) -> None:
    for path, name in (("/v1/messages", "MessageCreate"), ("/v1/threads", "ThreadCreate")):
        for example in page["components"]["schemas"][name]["examples"]:
            assert (await gateway.client.post(path, json=example)).status_code in (201, 202)


async def test_the_example_of_ag_ui_begins_a_run(gateway: Gateway, page: dict[str, Any]) -> None:
    [example] = schema_of(page, page["paths"]["/v1/agui"]["post"]["requestBody"]["content"])["examples"]
    asking = asyncio.create_task(gateway.client.post("/v1/agui", json=example))
    while not (said := [event for event in gateway.log.events if isinstance(event, UserMessageReceived)]):
        await asyncio.sleep(0.01)
    gateway.log.events.append(completed(said[0], 1))
    answer = await asking
    assert answer.status_code == 200
    assert '"type":"RUN_FINISHED"' in answer.text


def test_every_call_says_how_it_fails(page: dict[str, Any]) -> None:
    for path, item in page["paths"].items():
        for method, call in item.items():
            assert "application/problem+json" in call["responses"]["4XX"]["content"], f"{method} {path}"
            assert "422" not in call["responses"], f"{method} {path} shows the framework's own errors"
            assert call["security"], f"{method} {path}"


def test_the_limits_are_stated(page: dict[str, Any]) -> None:
    schemas = page["components"]["schemas"]
    title = schemas["ThreadCreate"]["properties"]["title"]["anyOf"][0]
    assert title["maxLength"] == 200
    assert "1 MiB" in schemas["MessageCreate"]["properties"]["content"]["description"]
    assert "16 KiB" in schemas["ThreadCreate"]["properties"]["metadata"]["description"]
    assert "32 deep" in page["info"]["description"]
    assert schemas["MessageCreate"]["additionalProperties"] is False


def test_nothing_internal_is_shown(page: dict[str, Any]) -> None:
    for name in ("ThreadRead", "RunRead"):
        assert not {"tenant_id", "request_hash"} & set(page["components"]["schemas"][name]["properties"])
