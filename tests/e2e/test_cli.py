"""The `clew` command against a whole Clew, as a person and as a script would use it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.searxng import FLIGHTS, SearXNG
from tests.support.system import Json, System
from tests.support.terminal import CTRL_C, CTRL_D, Terminal, terminal

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(150)]
FLIGHT_QUESTION = "Find the cheapest flights from NYC to London next week with reasonable travel times"
COMMAND = (sys.executable, "-m", "clew.cli")


@dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Json]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Clew:
    """The command for one system, with a home of its own."""

    system: System
    home: Path

    @property
    def env(self) -> dict[str, str]:
        basics = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        return basics | {"CLEW_URL": self.system.url}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*COMMAND, *arguments, env=self.env, stdout=pipe, stderr=pipe)

    async def __call__(self, *arguments: str) -> Done:
        return await finished(await self.start(*arguments))

    @asynccontextmanager
    async def typed(self, *arguments: str) -> AsyncGenerator[Terminal]:
        """The command on a terminal."""
        async with terminal([*COMMAND, *arguments], self.env) as screen:
            yield screen


async def finished(process: asyncio.subprocess.Process) -> Done:
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def clew(system: System, tmp_path: Path) -> Clew:
    return Clew(system, tmp_path)


@pytest.fixture
def slow_search(search: SearXNG) -> Generator[SearXNG]:
    """Searches take long enough for something to happen in the middle of a run."""
    search.delay = 4.0
    yield search
    search.delay = 0.0


async def test_a_script_gets_the_answer_and_nothing_else(clew: Clew) -> None:
    done = await clew("send", "--wait", "what is 17% of 2,340?")
    assert done.code == 0, done.err
    assert "397.8" in done.out
    assert done.err == ""


async def test_a_run_can_be_looked_at_from_all_sides(clew: Clew) -> None:
    [run] = (await clew("send", "--wait", "--json", "what is 6 * 7?")).json
    assert "42" in run["output"]
    [again] = (await clew("run", "--json", run["id"])).json
    assert again == run
    shown = await clew("run", run["id"])
    assert run["id"] in shown.out
    assert run["output"] in shown.out
    assert "✓ 1. " in shown.out
    listed = await clew("runs", "--thread", run["thread_id"])
    assert listed.out.startswith(f"{run['id']}\tcompleted\t")
    paged, followed = await clew("events", "--json", run["id"]), await clew("events", "--follow", "--json", run["id"])
    assert numbered(paged.json) == numbered(followed.json) == list(range(len(numbered(paged.json))))


async def test_a_message_goes_into_its_thread(clew: Clew) -> None:
    [first] = (await clew("send", "--wait", "--json", "what is 6 * 7?")).json
    [second] = (await clew("send", "--wait", "--json", "--thread", first["thread_id"], "what time is it in Oslo?")).json
    assert second["thread_id"] == first["thread_id"]
    assert second["parent_run_id"] == first["id"]


async def test_what_does_not_exist_is_refused_with_the_problem(clew: Clew) -> None:
    done = await clew("run", "00000000-0000-4000-8000-000000000000")
    assert done.code == 4
    assert "404" in done.err


async def test_a_person_talks_watches_leaves_and_comes_back(clew: Clew, search: SearXNG) -> None:
    async with clew.typed("chat") as screen:
        await screen.expect("you> ")
        screen.type(FLIGHT_QUESTION + "\n")
        await screen.expect(r"Plan: \d steps")
        await screen.expect(r"web_search")
        await screen.expect(r"you> ")
        assert any(hit.title in screen.text for hit in FLIGHTS)
        screen.type("what is 17% of 2,340?\n")
        await screen.expect(r"397\.8")
        await screen.expect(r"you> ")
        screen.type(CTRL_D)
        thread_id = (await screen.expect(r"chat --thread [0-9a-f-]{36}")).split()[-1]
        assert await screen.ended() == 0
    async with clew.typed("chat", "--thread", thread_id) as screen:
        await screen.expect(r"you> what is 17% of 2,340\?")
        await screen.expect(r"397\.8")
        await screen.expect(r"you> ")
        screen.type("\x1b[A\x1b[A\n")  # the line before the last, from the history
        await screen.expect(r"Plan: \d steps")
        await screen.expect(r"you> ")
        screen.type(CTRL_D)
        assert await screen.ended() == 0


@pytest.mark.usefixtures("slow_search")
async def test_ctrl_c_cancels_a_run_and_the_conversation_goes_on(clew: Clew) -> None:
    async with clew.typed("chat") as screen:
        await screen.expect("you> ")
        screen.type(FLIGHT_QUESTION + "\n")
        await screen.expect(r"▸ 1/")
        screen.type(CTRL_C)
        await screen.expect("cancelling")
        await screen.expect("the run was cancelled")
        await screen.expect("you> ")
        await asyncio.sleep(0.5)  # in the instant in which a prompt appears, Python's readline is deaf to signals
        screen.type(CTRL_C)
        await screen.expect("you> ")
        screen.type("what is 6 * 7?\n")
        await screen.expect("42")
        await screen.expect("you> ")
        screen.type(CTRL_D)
        assert await screen.ended() == 0


@pytest.mark.usefixtures("slow_search")
async def test_no_event_is_lost_or_repeated_when_the_gateway_is_killed_in_a_run(clew: Clew) -> None:
    run_id = (await clew("send", FLIGHT_QUESTION)).out.strip()
    following = await clew.start("events", "--follow", "--json", run_id)
    assert following.stdout is not None
    first = await asyncio.wait_for(following.stdout.readline(), 60)
    await clew.system.services["gateway"].kill()
    await asyncio.sleep(1)
    await clew.system.services["gateway"].start()
    done = await finished(following)
    assert done.code == 0, done.err
    assert "going on from there" in done.err
    events = [json.loads(first), *done.json]
    cursors = [event["cursor"] for event in events]
    assert len(set(cursors)) == len(cursors)
    assert numbered(events) == list(range(len(numbered(events))))
    assert events[-1]["type"] == "run.completed"
    assert spoken(events) == events[-1]["data"]["output"]


@pytest.mark.usefixtures("slow_search")
async def test_a_conversation_goes_on_when_the_gateway_comes_back(clew: Clew) -> None:
    gateway = clew.system.services["gateway"]
    async with clew.typed("chat") as screen:
        await screen.expect("you> ")
        screen.type(FLIGHT_QUESTION + "\n")
        await screen.expect(r"▸ 1/")
        await gateway.kill()
        await screen.expect("going on from there")
        await gateway.start()
        await screen.expect("you> ")
        assert screen.text.count("◆ Plan") == 1
        assert screen.text.count("▸ 1/") == 1
        assert any(hit.title in screen.text for hit in FLIGHTS)
        await gateway.kill()
        screen.type("what is 6 * 7?\n")
        await screen.expect("trying again")
        await gateway.start()
        await screen.expect("42")
        await screen.expect("you> ")
        screen.type(CTRL_D)
        assert await screen.ended() == 0


async def test_a_file_is_added_found_and_listed(clew: Clew, tmp_path: Path) -> None:
    path = tmp_path / "handbuch.md"
    path.write_text("# Notice\n\nThe notice period for Zürich is fourteen weeks.\n")
    added = await clew("documents", "add", str(path))
    assert added.code == 0, added.err
    document_id, status, _, name = added.out.rstrip("\n").split("\t")
    assert (status, name) == ("ready", "handbuch.md")
    assert document_id in (await clew("documents", "list")).out
    found = await clew("documents", "search", "notice period")
    assert "fourteen weeks" in found.out


async def test_the_doctor_finds_nothing_where_all_is_well(clew: Clew) -> None:
    done = await clew("doctor")
    assert done.code == 0, done.out
    before = await clew("runs", "--json")
    assert "1 + 1" not in before.out


@pytest.mark.parametrize("victim", ["planner", "executor", "memory", "ingestion"])
async def test_the_doctor_names_the_service_that_is_down(clew: Clew, victim: str) -> None:
    await clew.system.services[victim].stop()
    try:
        done = await clew("doctor", "--timeout", "5", "--json")
    finally:
        await clew.system.services[victim].start()
    assert done.code == 1, done.out
    assert victim in {finding["part"] for finding in done.json if not finding["well"]}


async def test_the_doctor_says_when_there_is_no_gateway(clew: Clew) -> None:
    await clew.system.services["gateway"].stop()
    try:
        done = await clew("doctor")
    finally:
        await clew.system.services["gateway"].start()
    assert done.code == 3
    assert "make run" in done.out


def numbered(events: list[Json]) -> list[int]:
    """The numbers of the events that have one."""
    return [event["seq"] for event in events if not event["type"].startswith("token.")]


def spoken(events: list[Json]) -> str:
    """The words of the call that spoke last."""
    deltas = [event["data"] for event in events if event["type"] == "token.delta"]
    return "".join(delta["text"] for delta in deltas if delta["call_id"] == deltas[-1]["call_id"])
