"""What the health routes answer while a service is starting."""

import json
from typing import Any

from prometheus_client import CollectorRegistry

from clew.chassis.health import Health


async def test_a_probe_may_be_added_while_another_one_is_asked() -> None:
    health = Health(CollectorRegistry())

    async def ask_and_add() -> str | None:
        health.ready["log"] = ask_and_add
        return "the service is starting"

    health.ready["start"] = ask_and_add
    assert await _status(health, "/readyz") == 503


async def test_what_can_be_missed_is_told_and_changes_nothing() -> None:
    health, away = Health(CollectorRegistry()), "Redis does not answer"

    async def reason() -> str | None:
        return away

    health.missed["live store"] = reason
    assert await _answer(health, "/readyz") == (200, {"status": "degraded", "reasons": {"live store": away}})
    assert await _answer(health, "/livez") == (200, {"status": "ok", "reasons": {}})
    health.ready["log"] = reason
    status, told = await _answer(health, "/readyz")
    assert (status, told["status"], list(told["reasons"])) == (503, "unavailable", ["log", "live store"])


async def _status(health: Health, path: str) -> int:
    return (await _answer(health, path))[0]


async def _answer(health: Health, path: str) -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await health({"type": "http", "path": path}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])
