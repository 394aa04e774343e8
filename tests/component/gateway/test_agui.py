"""AG-UI as the official client `@ag-ui/client` sees it: runs, tools, state, interrupts, a reconnect in the middle."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from clew.contracts.envelope import derive
from clew.contracts.execution import RunFailed
from tests.support.playing import SETTLE, House, house

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
SOURCE = Path(__file__).parents[2] / "agui"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT")


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client in it, as its lock file has it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is not installed, so the official AG-UI client cannot run")
    folder = tmp_path_factory.mktemp("agui")
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(SOURCE / name, folder)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    made = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120)
    if made.returncode and any(word in made.stderr for word in OFFLINE):
        pytest.skip("npm's registry cannot be reached, so the official AG-UI client cannot be fetched")
    assert made.returncode == 0, made.stderr
    return folder


@pytest_asyncio.fixture
async def there(stack_env: dict[str, str], tmp_path: Path) -> AsyncGenerator[House]:
    async with house(stack_env, tmp_path) as made:
        yield made


class Talk:
    """The client on its way through a scenario; each act's outcome is a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        assert line, (await self._process.stderr.read()).decode()
        return json.loads(line)


async def act(folder: Path, there: House, acts: Sequence[dict[str, Any]]) -> Talk:
    process = await asyncio.create_subprocess_exec(
        "node",
        "client.mjs",
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert process.stdin is not None
    scenario = {"url": there.gateways[0].url, "threadId": "trip", "acts": acts}
    process.stdin.write(json.dumps(scenario).encode())
    process.stdin.close()
    return Talk(process)


def said(held: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(message["role"], message.get("content")) for message in held["messages"]]


async def test_the_official_client_runs_calls_tools_and_is_told_the_state(official: Path, there: House) -> None:
    talk = await act(official, there, [{"say": "what is 6 × 7?", "runId": "one"}, {"say": "sure?", "runId": "two"}])
    play = there.play(await there.message())
    await play.begin()
    await play.model("plan", "Let me ", "see.", calls={"calculator": {"of": "calculator"}}, again=True)
    await play.tool("calculator", {"value": 42})
    await play.model("answer", "It is ", "42.")
    await play.end("It is 42.")
    held = await talk.next()
    assert held["failure"] is None
    assert said(held) == [
        ("user", "what is 6 × 7?"),
        ("assistant", "Let me see."),
        ("tool", '{"value": 42}'),
        ("assistant", "It is 42."),
    ]
    [call] = held["messages"][1]["toolCalls"]
    assert call["function"] == {"name": "calculator", "arguments": '{"of": "calculator"}'}
    assert (held["state"]["status"], held["state"]["steps"]) == ("completed", {"answer": "completed"})
    assert held["types"][0] == "RUN_STARTED"
    assert held["types"][-1] == "RUN_FINISHED"
    second = there.play(await there.message())
    assert second.message.thread_id == play.message.thread_id
    assert [part.text for part in second.message.content if part.type == "text"] == ["sure?"]
    await second.begin()
    await second.say(RunFailed, reason="model", error="The model is away.")
    held = await talk.next()
    assert held["types"][-1] == "RUN_ERROR"


async def test_an_approval_is_an_interrupt_and_its_answer_goes_on_with_the_run(official: Path, there: House) -> None:
    answer = {"status": "resolved", "payload": {"approved": True, "editedArgs": {"of": "everything"}}}
    talk = await act(official, there, [{"say": "tidy up", "runId": "one"}, {"runId": "two", "resume": answer}])
    play = there.play(await there.message())
    await play.begin()
    await play.model("plan", calls={"delete": {"of": "delete"}})
    await play.ask("delete")
    held = await talk.next()
    assert held["failure"] is None
    [asked] = held["interrupts"]
    call_id = str(derive(play.run_id, "delete"))
    assert (asked["id"], asked["toolCallId"]) == (f"{play.run_id}:{call_id}", call_id)
    assert held["state"]["status"] == "suspended"
    decision = await there.decision()
    assert (str(decision.call_id), decision.decision, decision.arguments) == (call_id, "edit", {"of": "everything"})
    await play.resume()
    await play.tool("delete", "done")
    await play.model("answer", "It is ", "tidy.")
    await play.end("It is tidy.")
    held = await talk.next()
    assert (held["failure"], held["interrupts"]) == (None, [])
    assert said(held)[-2:] == [("tool", "done"), ("assistant", "It is tidy.")]
    assert held["types"][-1] == "RUN_FINISHED"


async def test_a_connection_cut_in_the_middle_is_taken_up_at_another_gateway(official: Path, there: House) -> None:
    elsewhere = {"join": True, "runId": "one", "elsewhere": there.gateways[1].url}
    acts = [
        {"say": "count", "runId": "one", "cut": 9},
        {**elsewhere, "after": "last"},
        elsewhere,
    ]
    talk = await act(official, there, acts)
    play = there.play(await there.message())
    await play.begin()
    playing = asyncio.create_task(play.model("answer", "one ", "two ", "three"))
    held = await talk.next()
    assert "cut" in held["failure"]
    await playing
    await asyncio.sleep(SETTLE)
    await play.end("one two three")
    resumed, joined = await talk.next(), await talk.next()
    for held in (resumed, joined):
        assert held["failure"] is None
        assert said(held) == [("user", "count"), ("assistant", "one two three")]
        assert held["types"][:3] == ["RUN_STARTED", "MESSAGES_SNAPSHOT", "MESSAGES_SNAPSHOT"]
        assert held["types"][-1] == "RUN_FINISHED"
        assert held["state"]["status"] == "completed"
    assert resumed["messages"] == joined["messages"]
