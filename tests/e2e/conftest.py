"""Two whole Clews for all these tests, because one takes longer to start than most tests: `system` with the offline
model, `stage` with one that follows a script. Both search on a server that knows flights.
"""

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.outside import FOLDER_VARIABLE, TOOLS, Outside
from tests.support.replays import broken, differing
from tests.support.scenes import follow_scenes
from tests.support.scripted_openai import ScriptedOpenAI
from tests.support.searxng import SearXNG
from tests.support.stage import Ledger, Stage
from tests.support.system import System, whole_system


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def search() -> AsyncGenerator[SearXNG]:
    async with SearXNG() as server:
        yield server


@pytest.fixture(scope="session")
def system_env(stack_env: dict[str, str], search: SearXNG) -> dict[str, str]:
    offline = {"CLEW_MODEL": "offline", "CLEW_LOG_FORMAT": "json", "CLEW_SESSION_SECONDS": "6"}
    return stack_env | offline | search.environment() | {"CLEW_NAMESPACE": f"e2e{os.urandom(4).hex()}"}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(system_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[System]:
    folder: Path = tmp_path_factory.mktemp("services")
    async with whole_system(system_env, folder) as running:
        yield running
        assert await differing(system_env) == {}, "the runs of these tests replay otherwise"
        assert await broken(system_env) == {}, "what is stored does not hold together"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model() -> AsyncGenerator[ScriptedOpenAI]:
    async with ScriptedOpenAI() as server:
        server.answer_with(follow_scenes)
        server.embed_with(lambda text: [1.0, 0.0] if "flight" in text or "airborne" in text else [0.0, 1.0])
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(
    system_env: dict[str, str], model: ScriptedOpenAI, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    tools = folder / "tools"
    shutil.copytree(TOOLS, tools, ignore=shutil.ignore_patterns("__pycache__"))
    outside = folder / "outside"
    env = system_env | model.environment() | {"CLEW_NAMESPACE": f"stage{os.urandom(4).hex()}"}
    env |= {"CLEW_TOOLS_PATH": str(tools), FOLDER_VARIABLE: str(outside), "CLEW_RUN_SECONDS": "120"}
    env |= {"PYTHONPATH": str(Path(__file__).parents[2])}
    env |= {"CLEW_EMBEDDING_MODEL": "meaning", "CLEW_EMBEDDING_URL": model.url}
    async with whole_system(env, folder) as system:
        yield Stage(system, model, Ledger(Outside(outside)), tools, env)
        assert await differing(env) == {}, "the runs of these tests replay otherwise"
        assert await broken(env) == {}, "what is stored does not hold together"
