"""A gateway on real parts with the rest played: memory runs, and the test itself is planner and executor.

`Play` writes what they would say of a run, with tokens where a person would see them come.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from clew.chassis import clock
from clew.chassis.publish import Publisher
from clew.contracts import execution
from clew.contracts.conversation import ApprovalDecided, UserMessageReceived
from clew.contracts.envelope import Event, derive, stamp
from clew.contracts.execution import TokenDelta, TokenReset
from clew.contracts.planning import Plan, PlanCreated, Step
from clew.contracts.usage import Usage
from tests.support.log import Log, make_topics, settings_from
from tests.support.services import ServiceProcess, running

PLAN = Plan(steps=(Step(step_id="answer", kind="respond", title="Answer", instructions="Answer.", agent="assistant"),))
SETTLE = 0.12  # seconds in which memory hands on what was written, so that tokens come behind their call
A_MONTH_ON = """
import runpy
from datetime import timedelta
from clew.chassis import clock
now = clock.now
clock.now = lambda: now() + timedelta(days=31)
runpy.run_module("clew.gateway", run_name="__main__")
"""
CALL = {"step_id": "answer", "attempt": 1}


class House:
    """Memory and two gateways that know nothing of each other, over one log."""

    def __init__(
        self,
        env: dict[str, str],
        folder: Path,
        log: Log,
        gateways: list[ServiceProcess],
        planner: Publisher,
        executor: Publisher,
    ) -> None:
        self._env = env
        self._folder = folder
        self.log = log
        self.gateways = gateways
        self._planner = planner
        self._executor = executor
        self._seen: set[UUID] = set()

    def client(self, number: int = 0) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.gateways[number].url, timeout=30)

    async def message(self) -> UserMessageReceived:
        """A message that nobody has asked for yet."""
        async with asyncio.timeout(20):
            while True:
                for event in await self.log.events("user-messages"):
                    if isinstance(event, UserMessageReceived) and event.run_id not in self._seen:
                        self._seen.add(event.run_id)
                        return event
                await asyncio.sleep(0.05)

    async def decision(self) -> ApprovalDecided:
        async with asyncio.timeout(20):
            while True:
                made = [e for e in await self.log.events("run-signals") if isinstance(e, ApprovalDecided)]
                if made:
                    return made[-1]
                await asyncio.sleep(0.05)

    async def rebuild(self) -> None:
        """The views anew from the log, while all go on."""
        command = [sys.executable, "-m", "clew.memory", "rebuild"]
        await asyncio.to_thread(subprocess.run, command, env=self._env, check=True)

    @asynccontextmanager
    async def gateway_a_month_on(self) -> AsyncGenerator[ServiceProcess]:
        """One more gateway, whose clock is a month ahead."""
        folder = self._folder / "later"
        folder.mkdir()
        async with running("gateway", self._env, folder, arguments=("-c", A_MONTH_ON)) as gateway:
            yield gateway

    def play(self, message: UserMessageReceived) -> "Play":
        return Play(message, self._planner, self._executor)


class Play:
    """One run, said event by event."""

    def __init__(self, message: UserMessageReceived, planner: Publisher, executor: Publisher) -> None:
        self.message = message
        self._planner = planner
        self._executor = executor
        self._seq = 1

    @property
    def run_id(self) -> UUID:
        return self.message.run_id

    async def begin(self) -> None:
        told = self._about(1) | {"message_event_id": self.message.event_id, "content": self.message.content}
        await self._planner.publish(
            PlanCreated.model_validate(told | {"parent_run_id": None, "actionable": True, "plan": PLAN})
        )
        await self.say(execution.RunStarted, model="offline", code_version="1")
        await self.say(execution.StepStarted, **CALL)

    async def say(self, kind: type[Event], /, **fields: Any) -> None:
        self._seq += 1
        await self._executor.publish(kind.model_validate(self._about(self._seq) | fields))

    async def model(self, name: str, *pieces: str, calls: dict[str, Any] | None = None, again: bool = False) -> None:
        """A model request that streams `pieces`; `again`: its first attempt breaks off behind the first piece."""
        call = self._call(name, "model")
        await self.say(execution.CallStarted, **call, request={"ask": name})
        await asyncio.sleep(SETTLE)
        if again:
            await self.tokens(name, 1, pieces[:1])
            await self._executor.publish(TokenReset.model_validate(self._about(name, "reset") | self._token(name, 1)))
            call |= {"attempt": 2}
        await self.tokens(name, call["attempt"], pieces)
        await asyncio.sleep(SETTLE)
        parts: list[dict[str, Any]] = [{"part_kind": "text", "content": "".join(pieces)}] if pieces else []
        for tool, arguments in (calls or {}).items():
            parts.append({"part_kind": "tool-call", "tool_name": tool, "args": arguments, "tool_call_id": tool})
        usage = Usage(requests=1, input_tokens=10, output_tokens=3)
        await self.say(execution.CallCompleted, **call, result={"parts": parts}, usage=usage, duration_ms=1)

    async def tokens(self, name: str, attempt: int, pieces: tuple[str, ...]) -> None:
        start = 0
        for index, piece in enumerate(pieces):
            told = self._about(name, attempt, index) | self._token(name, attempt)
            delta = TokenDelta.model_validate(told | {"index": index, "start": start, "text": piece})
            await self._executor.publish(delta)
            start += len(piece)

    async def tool(self, name: str, result: Any) -> None:
        call = self._call(name, "tool")
        await self.say(execution.CallStarted, **call, request={"of": name}, policy="pure")
        await self.say(execution.CallCompleted, **call, result=result, duration_ms=1)

    async def ask(self, name: str) -> None:
        """Asks a person about a tool call, and waits."""
        about = {"call_id": self._call(name, "tool")["call_id"], "step_id": "answer", "tool": name}
        await self.say(execution.ApprovalRequested, **about, arguments={"of": name}, reason="It writes.")
        await self.say(execution.RunSuspended, reason="approval")

    async def resume(self) -> None:
        await self.say(execution.RunResumed, cause="signal", attempt=1)

    async def end(self, output: str) -> None:
        await self.say(execution.StepCompleted, step_id="answer", output=output)
        await self.say(execution.RunCompleted, output=output, usage=Usage(input_tokens=10, output_tokens=3))

    def _call(self, name: str, kind: str) -> dict[str, Any]:
        named = {"call_id": derive(self.run_id, name), "call_key": f"assistant/{kind}/1/{name}", "name": name}
        return {**CALL, **named, "kind": kind}

    def _token(self, name: str, attempt: int) -> dict[str, Any]:
        return {"call_id": derive(self.run_id, name), "step_id": "answer", "attempt": attempt}

    def _about(self, *name: object) -> dict[str, Any]:
        about = {**stamp(self.message, 0, clock.now()), "event_id": derive(self.run_id, *name)}
        about |= {"thread_id": self.message.thread_id, "run_id": self.run_id}
        return {**about, "seq": name[0]} if isinstance(name[0], int) else about


async def long_run(play: Play, calls: int) -> str:
    """A run of some 14 events and tokens for each of `calls`; every fifth is abandoned once. Its output."""
    await play.begin()
    words: tuple[str, ...] = ()
    for number in range(calls):
        words = (f"Part {number}", " is", " this,", " naïve 🙂", ".")
        await play.model(f"model-{number}", *words, calls={f"tool-{number}": {"n": number}}, again=number % 5 == 1)
        await play.tool(f"tool-{number}", {"n": number})
        await play.say(execution.StepProgressed, step_id="answer", message=f"{number} done")
    await play.end("".join(words))
    return "".join(words)


@asynccontextmanager
async def house(env: dict[str, str], folder: Path, gateways: int = 2) -> AsyncGenerator[House]:
    """Servers in a namespace of their own."""
    env = env | {"CLEW_NAMESPACE": f"house{clock.new_id().hex[:8]}", "CLEW_LOG_FORMAT": "json"}
    await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "clew.memory", "migrate"], env=env, check=True)
    await make_topics(env)
    log = Log(settings_from(env))
    folders = [folder / str(number) for number in range(gateways)]
    for one in folders:
        one.mkdir()
    async with (
        log.as_service("planner") as planner,
        log.as_service("executor") as executor,
        running("memory", env, folder),
        running("gateway", env, folders[0]) as first,
        running("gateway", env, folders[-1]) as second,
    ):
        yield House(env, folder, log, [first, second], planner, executor)
