"""A file is uploaded, taken in, and found by an agent that is asked about it."""

import asyncio
from hashlib import sha256

import httpx2
import pytest

from tests.support.system import System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]
HANDBOOK = b"""# Travel handbook

## Hotels

Employees may spend at most 180 euros a night on a hotel in Lisbon.

## Trains

First class is for journeys of more than four hours.
"""


async def uploaded(system: System) -> str:
    declared = {
        "filename": "handbook.md",
        "size": len(HANDBOOK),
        "content_type": "text/markdown",
        "sha256": sha256(HANDBOOK).hexdigest(),
    }
    begun = await system.http.post("/v1/documents", json=declared)
    assert begun.status_code == 201, begun.text
    [part] = begun.json()["parts"]
    async with httpx2.AsyncClient() as plain:
        sent = await plain.put(part["url"], content=HANDBOOK, headers={"content-type": "application/octet-stream"})
    assert sent.status_code == 200, sent.text
    document_id: str = begun.json()["document_id"]
    parts = {"parts": [{"number": part["number"], "etag": sent.headers["etag"]}]}
    completed = await system.http.post(f"/v1/documents/{document_id}/complete", json=parts)
    assert completed.status_code == 202, completed.text
    return document_id


async def until_ingested(system: System, document_id: str) -> None:
    async with asyncio.timeout(30):
        while (await status_of(system, document_id)) != "ready":
            await asyncio.sleep(0.2)


async def status_of(system: System, document_id: str) -> str:
    return (await system.http.get(f"/v1/documents/{document_id}")).json().get("status", "unknown")


async def test_an_agent_finds_what_an_uploaded_file_says(system: System) -> None:
    await until_ingested(system, await uploaded(system))
    run_id = (await system.say("What does the uploaded handbook say about a hotel in Lisbon?"))["run_id"]
    watched = await system.until_ended(run_id)
    called = [event["data"]["name"] for event in watched if event["type"] == "call.completed"]
    assert "search_documents" in called
    assert "180 euros" in watched[-1]["data"]["output"]
