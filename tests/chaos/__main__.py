"""`make chaos SEED=… MINUTES=…`: a long trial on parts of its own. Prints numbers and what was broken.

The exit status is 1 when anything was. Without a seed one is drawn, and printed. `make mutants` breaks one
mechanism after the other instead, and the exit status is 1 when one of them was not noticed.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from clew.local.home import Home
from clew.local.settings import DEFAULT_BUCKET
from clew.local.stack import Stack, free_ports
from tests.chaos.mutants import MUTANTS, mutated
from tests.chaos.oracle.invariants import judge
from tests.chaos.report import table, verdict
from tests.chaos.schedule import LONG_ROUND, schedule
from tests.chaos.trial import Outcome, Plan, Trial
from tests.chaos.workload import workload

RUNS_A_MINUTE = 120
MUTANT_SECONDS, MUTANT_RUNS = 45.0, 240
TRIES = 3  # seeds that a mutant is tried with: whether a zombie wakes up in the wrong moment is luck


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--mutant", choices=["all", *MUTANTS], help="break a mechanism, to see that it is noticed")
    parser.add_argument("--folder", type=Path, help="where the logs of the processes go (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-chaos-") as temporary:
        folder: Path = arguments.folder or Path(temporary)
        if arguments.mutant is None:
            sys.exit(not holds(arguments.seed, arguments.minutes, folder))
        names = list(MUTANTS) if arguments.mutant == "all" else [arguments.mutant]
        sys.exit(not uvloop.run(all_noticed(names, arguments.seed, folder)))


def holds(seed: int, minutes: float, folder: Path) -> bool:
    """Whether all invariants hold in a trial, which is reported."""
    print(f"seed {seed}, {minutes:g} minutes", flush=True)
    seconds = 60 * minutes
    talks = workload(seed, seconds, round(RUNS_A_MINUTE * minutes))
    outcome = uvloop.run(_one_trial(Plan(talks, schedule(seed, seconds, LONG_ROUND)), folder))
    violations = judge(outcome.facts)
    print(table(outcome))
    print(verdict(violations, seed))
    return not violations


async def all_noticed(names: Sequence[str], seed: int, folder: Path) -> bool:
    """Whether each mutant is noticed, one after the other on the same parts."""
    async with _parts(folder) as stack:
        return all([await _noticed(name, seed, stack, folder / name) for name in names])


async def _noticed(name: str, seed: int, stack: Stack, folder: Path) -> bool:
    """Whether the oracle sees one of the invariants broken that this mutant breaks."""
    for number in range(seed, seed + TRIES):
        talks = workload(number, MUTANT_SECONDS, MUTANT_RUNS)
        plan = Plan(talks, schedule(number, MUTANT_SECONDS, MUTANTS[name].acts), mutated(name))
        outcome = await _trial(plan, stack, f"mutant{list(MUTANTS).index(name)}x{number}", folder / str(number))
        violations = judge(outcome.facts)
        broken = {violation.invariant for violation in violations}
        seen = bool(broken & MUTANTS[name].breaks)
        said = f"broken: {', '.join(sorted(broken)) or 'nothing'}"
        print(f"{name}, seed {number}: {'noticed' if seen else 'not noticed'}, {said}", flush=True)
        unexpected = [violation for violation in violations if violation.invariant not in MUTANTS[name].breaks]
        print(verdict(unexpected if seen else violations, number), flush=True)
        if seen:
            return True
    return False


async def _one_trial(plan: Plan, folder: Path) -> Outcome:
    async with _parts(folder) as stack:
        return await _trial(plan, stack, "chaos", folder / "services")


async def _trial(plan: Plan, stack: Stack, namespace: str, folder: Path) -> Outcome:
    env = {"S3_BUCKET": DEFAULT_BUCKET, **stack.env, "CLEW_NAMESPACE": namespace}
    return await Trial(stack, env, folder, plan).run()


@asynccontextmanager
async def _parts(folder: Path) -> AsyncGenerator[Stack]:
    def say(name: str, line: str) -> None:
        print(f"{name}: {line}", flush=True)

    home = Home(folder / "parts")
    with home.claim():
        async with Stack(home, free_ports(), say, durable=False) as stack:
            yield stack


if __name__ == "__main__":
    main()
