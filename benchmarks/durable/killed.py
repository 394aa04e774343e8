"""Many runs in flight, their process killed: what the next owner repeats, and how soon all have ended."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from benchmarks.durable.host import PATIENCE, Host, Worker
from benchmarks.durable.process import PARTITIONS, a_plan, partition_of
from clew.chassis.claims import Claims
from clew.contracts.execution import CallCompleted, PartitionClaimed, RunCompleted
from tests.support.log import Log, settings_from
from tests.support.services import running

WORK = 3  # units of a second in a run: plain steps, or answers of a model
UNIT = {"plain": "tool", "agents": "model"}
QUIET = 4.0  # seconds without a record: longer than a unit lasts
Numbers = dict[str, float]


async def killed(host: Host, kind: str, runs: int) -> Numbers:
    """`repeated`: finished calls made again. `last end`: the most seconds from its partition's new assignment to a
    run's end; `overhang`: the same beyond what was left of its work. Memory projects meanwhile, as it does beside any
    executor."""
    async with host.namespace() as env, running("memory", env, host.folder):
        log = Log(settings_from(env))
        async with host.worker(env, "serve", kind) as first:
            await first.until(lambda: len(first.said("owned")) == PARTITIONS)
            plans = await _plan(log, runs)
            await first.until(lambda: _units(first, kind) >= runs * 1.6)
            first.kill()
        killed_at = time.time()
        async with host.worker(env, "serve", kind) as second:
            await second.until(lambda: len(second.said("owned")) == PARTITIONS)
            await _until_quiet(log)
        return await _account(log, plans, second, killed_at, kind)


def _units(worker: Worker, kind: str) -> int:
    return sum(str(line[2]).startswith(UNIT[kind]) for line in worker.said("executed"))


async def _plan(log: Log, runs: int) -> Mapping[UUID, int]:
    """Plans for runs, in threads of their own; the partition of each run."""
    plans = [a_plan() for _ in range(runs)]
    async with log.as_service("planner") as planner:
        await planner.publish_all(plans)
    return {plan.run_id: partition_of(plan.thread_id) for plan in plans}


async def _until_quiet(log: Log) -> None:
    deadline = since = time.monotonic()
    before = -1
    while time.monotonic() - since < QUIET:
        if time.monotonic() - deadline > PATIENCE:
            raise SystemExit("the runs did not come to an end")
        await asyncio.sleep(0.5)
        if (now := sum((await log.reader.ends("task-updates")).values())) != before:
            before, since = now, time.monotonic()


async def _account(log: Log, plans: Mapping[UUID, int], second: Worker, killed_at: float, kind: str) -> Numbers:
    finished, ended = await _read(log, f"bench-{second.pid}")
    assigned = {int(line[1]): float(line[2]) for line in second.said("assigned")}
    again = [(UUID(line[1]), str(line[2])) for line in second.said("executed")]
    took = {run: end - assigned[plans[run]] for run, end in ended.items() if end > killed_at}
    left = {run: WORK - sum(what.startswith(UNIT[kind]) for what in finished.get(run, ())) for run in took}
    return {
        "runs": len(plans),
        "ended": len(ended),
        "in flight": len(took),
        "finished calls before": sum(map(len, finished.values())),
        "repeated": sum(what in finished.get(run, ()) for run, what in again),
        "kill to assignment": min(assigned.values()) - killed_at,
        "assignment to ownership": max(float(line[2]) - assigned[int(line[1])] for line in second.said("owned")),
        "last end": max(took.values(), default=0),
        "overhang": max((seconds - left[run] for run, seconds in took.items()), default=0),
    }


async def _read(log: Log, second: str) -> tuple[dict[UUID, set[str]], dict[UUID, float]]:
    """The calls of each run that had ended before `second` claimed its partition, and when each run ended."""
    finished: dict[UUID, set[str]] = {}
    ended: dict[UUID, float] = {}
    for partition, end in (await log.reader.ends("task-updates")).items():
        numbers: Counter[tuple[UUID, str]] = Counter()
        taken_over = False
        async for record in log.reader.valid("task-updates", partition, 0, Claims(), end):
            match await log.decoder.event(record):
                case PartitionClaimed(owner=owner):
                    taken_over = owner == second
                case CallCompleted(run_id=run, kind=kind) if not taken_over:
                    finished.setdefault(run, set()).add(f"{kind} {numbers[run, kind]}")
                    numbers[run, kind] += 1
                case RunCompleted(run_id=run) as completed:
                    ended[run] = completed.occurred_at.timestamp()
                case _:
                    pass
    return finished, ended
