"""How far the views are behind, and tables that this version cannot write."""

import re
from datetime import timedelta

import psycopg
import pytest

from clew.chassis import clock
from clew.chassis.errors import StartError
from clew.memory.app import PROJECTED
from clew.memory.lag import TOO_FAR, Lag
from clew.memory.migrate import head, migrate
from clew.memory.store import Store
from clew.memory.versions import VERSIONS, note
from clew.views.names import Schemas
from tests.support.memory import MemoryUnderTest, drop
from tests.support.story import Story

pytestmark = pytest.mark.stack


async def test_the_lag_is_what_was_written_and_is_not_projected(projecting: MemoryUnderTest) -> None:
    later = clock.now() + TOO_FAR + timedelta(seconds=5)
    lag = Lag(projecting.log, PROJECTED, projecting.projector.places, lambda: later, projecting.metrics)
    story = Story()
    await projecting.project(story.created())
    written = projecting.log.write(*story.whole("a"))
    await lag.measure()
    assert lag.events == 9
    assert TOO_FAR.total_seconds() < lag.seconds < TOO_FAR.total_seconds() + 6
    assert "9 events and 6" in str(await lag.ready())
    await projecting.take(written)
    await lag.measure()
    assert (lag.events, lag.seconds, await lag.ready()) == (0, 0.0, None)


async def test_tables_of_another_revision_are_refused_with_what_to_run(
    stack_env: dict[str, str], namespace: str
) -> None:
    url, schemas = stack_env["DATABASE_URL"], Schemas.of(f"x{namespace[-10:]}")
    with pytest.raises(StartError, match=re.escape("run python -m clew.memory migrate")):
        await Store(url, schemas).__aenter__()
    migrate(url, f"x{namespace[-10:]}")
    async with Store(url, schemas) as store:
        assert store.connected
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"UPDATE {schemas.tables}.alembic_version SET version_num = '9999'".encode())
    with pytest.raises(StartError, match=f"is at revision 9999; this version writes {head()}"):
        await Store(url, schemas).__aenter__()
    drop(url, f"x{namespace[-10:]}")


async def test_tables_that_other_projections_filled_are_refused_with_what_to_run(
    stack_env: dict[str, str], fresh: str
) -> None:
    url, schemas = stack_env["DATABASE_URL"], Schemas.of(fresh)
    with psycopg.connect(url, autocommit=True) as connection:
        for said, expected in (
            (note({**VERSIONS, "runs": 99}), f"runs has version 99 and not {VERSIONS['runs']}"),
            ("projection 1", "what filled the tables is not known"),
        ):
            connection.execute(f"COMMENT ON SCHEMA {schemas.tables} IS '{said}'".encode())
            with pytest.raises(StartError, match=f"{expected}. Run clew memory rebuild --accept"):
                await Store(url, schemas).__aenter__()
        connection.execute(f"COMMENT ON SCHEMA {schemas.tables} IS '{note()}'".encode())
