"""Runs of a whole Clew, exported and replayed, and the guide on debugging a run, command by command.

With CLEW_RECORD_HISTORIES=FOLDER the recordings are kept there.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

from clew.contracts.codec import encode
from tests.support import guide
from tests.support.log import PATIENCE, message
from tests.support.system import System

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(150)]
GUIDE = Path(__file__).parents[2] / "docs/guides/debug-a-run.md"
QUESTIONS = {
    "sum": "What is 17% of 2,340?",
    "flights": "Find the cheapest flights from NYC to London next week with reasonable travel times",
    "time": "What time is it?",
}


async def command(env: dict[str, str], *arguments: str) -> tuple[int, bytes, str]:
    """Exit code, standard output and standard error of `clew`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "clew.cli", *arguments, env={"PATH": os.environ["PATH"], **env}, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out, err.decode()


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_real_run_replays_identically(
    system: System, system_env: dict[str, str], tmp_path: Path, name: str
) -> None:
    said = await system.say(QUESTIONS[name])
    await system.until_ended(said["run_id"])
    code, recording, told = await command(system_env, "run", "export", said["run_id"])
    assert code == 0, told
    folder = Path(os.environ.get("CLEW_RECORD_HISTORIES") or tmp_path)
    path = folder / f"{name}.jsonl"
    path.write_bytes(recording)
    code, out, told = await command(system_env, "run", "replay", "--from", str(path))
    assert code == 0, out.decode() + told
    assert "✓ identical" in out.decode()


async def test_the_answer_to_an_answer_is_replayed_with_what_was_said_before(
    system: System, system_env: dict[str, str], tmp_path: Path
) -> None:
    first = await system.say("What is 2 + 2?")
    await system.until_ended(first["run_id"])
    second = await system.say("And 3 + 3?", thread_id=first["thread_id"])
    await system.until_ended(second["run_id"])
    code, recording, told = await command(system_env, "run", "export", second["run_id"])
    assert code == 0, told
    path = Path(os.environ.get("CLEW_RECORD_HISTORIES") or tmp_path) / "second.jsonl"
    path.write_bytes(recording)
    code, out, told = await command(system_env, "run", "replay", "--from", str(path))
    assert code == 0, out.decode() + told
    assert (await command(system_env, "run", "export", "0198c0de-0000-7000-8000-00000000000f"))[0] == 5


async def refused(system: System) -> tuple[str, str]:
    """A message that an old client wrote straight to the log: its run, and the place of the record."""
    first = await system.say("What is 2 + 2?")
    await system.until_ended(first["run_id"])
    event = message("What is 17% of 2,340?", UUID(first["thread_id"]))
    wire = encode(event, source="old-client")
    before = len(await system.log.records("dead-letters"))
    body = wire.value.replace(b'"text":"What', b'"txt":"What')
    await system.log.write_raw("user-messages", body, key=wire.key, headers=list(wire.headers))
    [record] = [one for one in await system.log.records("user-messages") if one.value == body]
    async with asyncio.timeout(PATIENCE):
        while len(await system.log.records("dead-letters")) < before + 2:  # the planner's and memory's
            await asyncio.sleep(0.1)
    return str(event.run_id), f"{record.topic}/{record.partition}/{record.offset}"


@pytest.mark.timeout(300)  # fifteen processes, one after the other
async def test_every_command_of_the_guide_prints_what_the_guide_says(
    system: System, system_env: Mapping[str, str], tmp_path: Path
) -> None:
    run_id, place = await refused(system)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**system_env, "PATH": path, "HOME": str(tmp_path), "CLEW_URL": system.url, "RUN": run_id, "RECORD": place}
    wrong: list[str] = []
    for step in guide.shown(GUIDE):
        printed = await guide.run(step.command, env, tmp_path)
        if (line := guide.missing(step.lines, printed)) is not None:
            wrong.append(f"$ {step.command}\n{printed}\ndoes not print: {line}")
    assert not wrong, "\n".join(wrong)


async def test_the_runs_since_a_moment_are_replayed_as_a_suite(system: System, system_env: dict[str, str]) -> None:
    for _ in range(2):
        await system.until_ended((await system.say("What is 2 + 2?"))["run_id"])
    code, out, told = await command(system_env, "replay-suite", "--since", "1h", "--sample", "2", "--jobs", "1")
    assert code == 0, out.decode() + told
    assert "replaying 2 recordings: their recorded calls answer, 0 are made" in " ".join(told.split())
    assert [line.split("\t")[1] for line in out.decode().splitlines()] == ["identical"] * 2
