"""A run that took its process with it, again and again, is run alone: in a child process that may die by itself.

The child (`quarantined`) writes the run through this process, which alone owns the partition: each event is a line
on a pipe, answered with its place in the log. What is said to the run goes down the same pipe, and the child writes
that it was heard. When the child dies the run has failed, and nothing else has.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from clew.chassis.errors import Fenced
from clew.contracts.conversation import RunSteered
from clew.contracts.envelope import Position, RunEvent, RunScoped
from clew.contracts.planning import PlanCreated
from clew.contracts.usage import Budget
from clew.executor import budgets
from clew.executor.endings import Stops
from clew.executor.execution import Fails, RunState
from clew.executor.journal import RunJournal
from clew.executor.life import End, Life, close
from clew.executor.limits import LifeLimits
from clew.executor.pipe import LONGEST, from_line, origin_to_lines, to_line
from clew.executor.writer import RunLeft

ALONE_AFTER = 3  # take-overs in a row in which the run came no further
GIVE_UP_AFTER = 6  # with the child it took its parent along as well, three times
HEARS_WITHIN = timedelta(seconds=60)  # a child that does not listen for so long hangs, and is ended
MARGIN = timedelta(seconds=30)  # beyond the run's own time limit, which the child enforces while it can
CHILD = (sys.executable, "-m", "clew.executor.quarantined")
log = logging.getLogger(__name__)

Verdict: TypeAlias = Literal["alone", "crash_loop"]


def sentence(state: RunState) -> Verdict | None:
    """What is to be done with a run that is taken over once more."""
    if state.interrupted >= GIVE_UP_AFTER:
        return "crash_loop"
    return "alone" if state.interrupted >= ALONE_AFTER else None


class Alone:
    """Makes lives in child processes; `environ` is what they are given."""

    def __init__(self, environ: Mapping[str, str], command: Sequence[str] = CHILD) -> None:
        self._environ = environ
        self._command = command

    def life(
        self, verdict: Verdict, plan: PlanCreated, journal: RunJournal, past: Sequence[RunEvent], limits: LifeLimits
    ) -> Life:
        """The life of a run that is known to kill."""
        if verdict == "crash_loop":
            return Life(plan, journal, _given_up, limits)
        return LifeAlone(plan, journal, past, limits, self._command, self._environ)


async def _given_up() -> Fails:
    return Fails("crash_loop", "the process that ran it died each time, and so did one that ran nothing else")


class LifeAlone(Life):
    """A run in a child process. It is told what is said to it, and it is the child that writes that it was heard."""

    def __init__(
        self,
        plan: PlanCreated,
        journal: RunJournal,
        past: Sequence[RunEvent],
        limits: LifeLimits,
        command: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        super().__init__(plan, journal, _given_up, limits)
        self._past = past
        self._command = command
        self._environ = environ
        self._unsaid: asyncio.Queue[RunScoped] = asyncio.Queue()
        self._unheard: dict[str, asyncio.Future[None]] = {}
        self._over = False

    async def live(self) -> None:
        try:
            self.end = await self._in_child()
        except Fenced:
            log.info("run %s is somebody else's now", self.plan.run_id)
        except Exception:
            log.exception("run %s could not be closed; it is taken up again", self.plan.run_id)

    async def hear(self, signal: RunScoped) -> None:
        if self._over:
            raise self._gone()
        if not self.journal.record.inbox.wants(signal):
            return
        heard = self._unheard[str(signal.event_id)] = asyncio.get_running_loop().create_future()
        self._unsaid.put_nowait(signal)
        try:
            async with asyncio.timeout(HEARS_WITHIN.total_seconds()):
                await heard
        except TimeoutError:
            log.error("run %s does not listen: its process is ended", self.plan.run_id)
            self._over = True
            self._wake.set()
            raise self._gone() from None

    def _gone(self) -> RunLeft:
        return RunLeft(f"the process in which run {self.plan.run_id} was alone has ended")

    async def _in_child(self) -> End:
        log.warning("run %s is resumed alone, in a process of its own", self.plan.run_id)
        child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(self._environ),
            limit=LONGEST,
        )
        relay = asyncio.create_task(self._relay(child), name=f"run {self.plan.run_id}, relayed")
        telling = asyncio.create_task(self._tell(child), name=f"run {self.plan.run_id}, told")
        try:
            await self._until_over(relay)
        finally:
            self._deafen()
            telling.cancel()
            relay.cancel()
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            await asyncio.gather(relay, telling, return_exceptions=True)
        return await self._after(child.returncode, relay)

    async def _until_over(self, relay: asyncio.Task[None]) -> None:
        limit = budgets.time_left(
            self.plan.budget or Budget(), self._limits.run, self.journal.state, self.journal.now()
        )
        deadline = asyncio.get_running_loop().time() + (limit + MARGIN).total_seconds()
        relay.add_done_callback(lambda _: self._wake.set())
        while not (relay.done() or self._over or self._stop is not None or self.journal.error is not None):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
            self._wake.clear()

    async def _after(self, code: int | None, relay: asyncio.Task[None]) -> End:
        """What is left to be written when there is no child any more."""
        if not relay.cancelled() and (error := relay.exception()) is not None:
            raise error
        if self.journal.error is not None:
            return "left"
        await self.journal.settled()
        if self.journal.state.suspended is not None:
            return "suspended"
        if not self.journal.state.ended:
            await close(self.plan, self.journal, self._closing_alone(code))
        return "ended"

    def _closing_alone(self, code: int | None) -> Stops | Fails:
        if self._stop is not None:
            return Stops(self._stop.reason)
        error = f"it was run alone after {ALONE_AFTER} take-overs without progress, and its process died ({code})"
        return Fails("crash_loop", error)

    # -- the pipe

    def _deafen(self) -> None:
        """Whoever waits for the child to hear something is told that it will not."""
        self._over = True
        for heard in self._unheard.values():
            if not heard.done():
                heard.set_exception(self._gone())

    async def _tell(self, child: asyncio.subprocess.Process) -> None:
        """Hands over what is said to the run, behind the beginning."""
        assert child.stdin is not None
        await self.ready.wait()
        while True:
            self._say(child.stdin, {"signal": to_line(await self._unsaid.get())})

    async def _relay(self, child: asyncio.subprocess.Process) -> None:
        """Does what the child asks for, one line at a time, until it has nothing more to say."""
        assert child.stdin is not None
        assert child.stdout is not None
        begin: dict[str, Any] = {"plan": to_line(self.plan), "past": [to_line(event) for event in self._past]}
        if self.journal.origin is not None:
            begin["origin"] = origin_to_lines(self.journal.origin)
        self._say(child.stdin, begin)
        self.ready.set()
        async for line in child.stdout:
            asked: dict[str, Any] = json.loads(line)
            self._say(child.stdin, {"n": asked["n"], **await self._do(asked)})
            with suppress(ConnectionError):  # a child that died reads no answer; its end is seen by the next line
                await child.stdin.drain()

    def _say(self, pipe: asyncio.StreamWriter, said: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(said).encode() + b"\n")

    async def _do(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        match asked["do"]:
            case "send":
                position = await self.journal.relay(from_line(asked["event"]))
                return {"position": position.model_dump()}
            case "valid":
                await self.journal.owned.valid(Position.model_validate(asked["position"]))
            case "heard":
                if not (heard := self._unheard.pop(asked["signal"])).done():
                    heard.set_result(None)
            case "steered":
                steers = [from_line(line) for line in asked["signals"]]
                await self.journal.steered([steer for steer in steers if isinstance(steer, RunSteered)])
            case _:
                await self.journal.owned.may_begin()
        return {}
