"""Fixtures of memory and views: a migrated schema per module, emptied for each test."""

from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from clew.memory.migrate import migrate
from clew.views.door import Views
from clew.views.tenant import TenantViews
from tests.support.memory import MemoryLog, MemoryUnderTest, drop, empty_tables, flush, memory


@pytest.fixture(scope="module")
def schema(stack_env: dict[str, str], namespace: str) -> Generator[str]:
    """The namespace of a migrated schema."""
    migrate(stack_env["DATABASE_URL"], namespace)
    yield namespace
    drop(stack_env["DATABASE_URL"], namespace)


@pytest.fixture
def fresh(stack_env: dict[str, str], schema: str) -> str:
    """The same, with nothing in it, in Redis neither."""
    empty_tables(stack_env["DATABASE_URL"], schema)
    flush(stack_env["REDIS_URL"], schema)
    return schema


@pytest_asyncio.fixture
async def projecting(stack_env: dict[str, str], fresh: str) -> AsyncGenerator[MemoryUnderTest]:
    async with memory(stack_env, fresh, MemoryLog()) as under_test:
        yield under_test


@pytest_asyncio.fixture
async def views(stack_env: dict[str, str], fresh: str) -> AsyncGenerator[Views]:
    async with Views(stack_env["DATABASE_URL"], stack_env["REDIS_URL"], fresh) as opened:
        yield opened


@pytest.fixture
def t1(views: Views) -> TenantViews:
    """The views of the tenant that stories belong to."""
    return views.tenant("t1")
