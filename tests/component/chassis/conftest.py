"""A toy planner on real Kafka, in a namespace of each test's own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from clew.chassis import clock
from tests.support.log import Log, make_topics, settings_from
from tests.support.services import ServiceProcess, running

TOY = ("-m", "tests.support.toy_planner")


@pytest.fixture
def namespace() -> str:
    """One for each test: what a test leaves in the log would be the next one's first records."""
    return f"chassis{clock.new_id().hex[:8]}"


@pytest.fixture
def env(stack_env: dict[str, str], namespace: str) -> dict[str, str]:
    return stack_env | {"CLEW_NAMESPACE": namespace, "PYTHONPATH": str(Path.cwd()), "CLEW_LOG_FORMAT": "json"}


@pytest_asyncio.fixture
async def log(env: dict[str, str]) -> Log:
    await make_topics(env)
    return Log(settings_from(env))


@pytest_asyncio.fixture
async def toy(log: Log, env: dict[str, str], tmp_path: Path) -> AsyncGenerator[ServiceProcess]:
    async with running("planner", env, tmp_path, arguments=TOY) as process:
        yield process
