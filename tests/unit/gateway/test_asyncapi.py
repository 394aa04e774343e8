"""The events behind the API are told to anybody who asks."""

from importlib.metadata import version

from clew.contracts.asyncapi import asyncapi
from clew.contracts.topics import load_topics
from tests.unit.gateway.conftest import Gateway


async def test_the_document_needs_no_key_and_is_that_of_the_contracts(gateway: Gateway) -> None:
    refused = {"Authorization": "Basic YTpi"}
    assert (await gateway.client.get("/v1/threads", headers=refused)).status_code == 401
    answer = await gateway.client.get("/asyncapi", headers=refused)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == asyncapi(load_topics(), version("clew-contracts"))


async def test_it_is_there_while_the_gateway_starts(gateway: Gateway) -> None:
    gateway.gate.open = False
    assert (await gateway.client.get("/asyncapi")).json()["asyncapi"] == "3.0.0"


async def test_it_is_no_call_of_the_api_but_named_on_its_page(gateway: Gateway) -> None:
    page = (await gateway.client.get("/openapi.json")).json()
    assert "/asyncapi" not in page["paths"]
    assert "/asyncapi" in page["info"]["description"]
