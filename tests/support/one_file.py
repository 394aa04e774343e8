"""Memory with the projection of the guide: run as a process of its own, with a copy of memory that has the file.

It goes through what the guide says, and fails where that is not so.
"""

import asyncio
import os

from clew.chassis.errors import StartError
from clew.memory.migrate import migrate, migrate_schemas
from clew.memory.rebuild_command import Bar, rebuild_from, run, verify
from clew.views.door import Views
from clew.views.names import Schemas
from tests.support.log import Log, settings_from
from tests.support.memory import RealLog, memory, memory_settings
from tests.support.story import Story

STORY = Story("one file")


async def main(env: dict[str, str]) -> None:
    url, namespace = env["DATABASE_URL"], env["CLEW_NAMESPACE"]
    rebuild = rebuild_from(memory_settings(env), Bar())
    migrate(url, namespace)
    assert "thread_answers is new. Run clew memory rebuild --accept" in await refusal(env)
    assert await run(rebuild, accept=False, drop_old=False) == 1
    assert await run(rebuild, accept=True, drop_old=False) == 0
    log = Log(settings_from(env))
    async with (
        memory(env, namespace, RealLog(log)) as live,
        Views(url, None, namespace) as views,
    ):
        assert [row["answers"] for row in await views.projected("t1", "thread_answers")] == [1], "of the past"
        await live.take([])
        await log.write(STORY.whole("b", "a"))
        for topic in ("user-messages", "plans", "task-updates"):
            await live.take(await log.records(topic))
        [row] = await views.projected("t1", "thread_answers", {"thread_id": STORY.thread_id})
        assert row["answers"] == 2, "and as it comes"
        assert await views.projected("t2", "thread_answers") == [], "it is another tenant's"
    assert await verify(rebuild) == 0
    await there_and_back(env)
    assert await run(rebuild, accept=False, drop_old=True) == 0


async def refusal(env: dict[str, str]) -> str:
    """What memory says instead of starting."""
    try:
        async with memory(env, env["CLEW_NAMESPACE"], RealLog(Log(settings_from(env)))):
            return "nothing"
    except StartError as error:
        return str(error)


async def there_and_back(env: dict[str, str]) -> None:
    """In schemas of their own: the revisions beneath the projection go, and it is there again with them."""
    schemas = Schemas.of(f"{env['CLEW_NAMESPACE']}x")
    for revision in ("head", "0010", "head", "base", "head"):
        migrate_schemas(env["DATABASE_URL"], schemas, revision)
    async with Views(env["DATABASE_URL"], None, f"{env['CLEW_NAMESPACE']}x") as views:
        assert await views.projected("t1", "thread_answers") == []


if __name__ == "__main__":
    asyncio.run(main(dict(os.environ)))
