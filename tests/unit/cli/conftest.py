"""A scripted gateway for each test that asks for one."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from clew.cli import gateway as connection
from tests.unit.cli.scripted_gateway import ScriptedGateway, scripted_gateway


@pytest_asyncio.fixture
async def gateway() -> AsyncGenerator[ScriptedGateway]:
    async with scripted_gateway() as server:
        yield server


@pytest.fixture(autouse=True)
def _quick_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions come fast, and no setting of the person who runs the tests is heard."""
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 0.05)
    for name in ("CLEW_URL", "CLEW_TOKEN", "CLEW_API_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
