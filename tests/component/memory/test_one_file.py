"""A projection is one file: the one of the guide, put into the folder of a copy of memory, and nothing else changed."""

import asyncio
import os
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from clew.chassis import clock
from clew.chassis.errors import StartError
from clew.memory.migrate import migrate
from clew.views.door import Views
from tests.support.log import Log, make_topics, settings_from
from tests.support.memory import RealLog, drop, memory
from tests.support.one_file import STORY

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "add-a-projection.md"


def memory_with_the_file_of_the_guide(folder: Path) -> Path:
    """What stands before the installed packages on the path."""
    copy = folder / "clew" / "memory"
    shutil.copytree(str(files("clew.memory")), copy, ignore=shutil.ignore_patterns("__pycache__"))
    [source] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (copy / "projections" / "thread_answers.py").write_text(source)
    return folder


async def run(env: dict[str, str], path: Path) -> str:
    """What the process of `tests.support.one_file` printed. AssertionError when it failed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.one_file"),
        cwd=ROOT,
        env={**os.environ, **env, "PYTHONPATH": str(path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def test_a_projection_is_added_by_one_file_filled_by_a_rebuild_and_read_by_its_name(
    stack_env: dict[str, str], tmp_path: Path
) -> None:
    env = stack_env | {"CLEW_NAMESPACE": f"onefile{clock.new_id().hex[:8]}"}
    url, namespace = env["DATABASE_URL"], env["CLEW_NAMESPACE"]
    await make_topics(env)
    migrate(url, namespace)
    log = Log(settings_from(env))
    await log.write([STORY.created(), *STORY.whole("a")])
    async with memory(env, namespace, RealLog(log)) as before:
        await before.take([])
        printed = await run(env, memory_with_the_file_of_the_guide(tmp_path))
        assert "thread_answers: only in the rebuilt tables" in printed
        await log.write([STORY.asked("c")])
        with pytest.raises(StartError, match="thread_answers is not known here"):
            await before.take(await log.records("user-messages"))
    async with Views(url, None, namespace) as views:
        assert [row["answers"] for row in await views.projected("t1", "thread_answers")] == [2]
        with pytest.raises(LookupError):
            await views.projected("t1", "nothing")
        with pytest.raises(LookupError):
            await views.projected("t1", "thread_answers", {"colour": "red"})
        with pytest.raises(LookupError):
            await views.projected("t1", "pg_roles")
        with pytest.raises(ValueError, match="50%s off"):
            await views.projected("t1", "thread_answers", {"thread_id": "50%s off"})
    for name in (namespace, f"{namespace}x"):
        drop(url, name)
