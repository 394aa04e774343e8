"""What the health routes answer while a service is starting."""

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


async def _status(health: Health, path: str) -> int:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await health({"type": "http", "path": path}, receive, send)
    return sent[0]["status"]
