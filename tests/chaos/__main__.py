"""`make chaos SEED=… MINUTES=…`: a long trial on parts of its own. Prints numbers and what was broken.

The exit status is 1 when anything was. Without a seed one is drawn, and printed.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import uvloop

from clew.local.home import Home
from clew.local.settings import DEFAULT_BUCKET
from clew.local.stack import Stack, free_ports
from tests.chaos.fleet import plain
from tests.chaos.mutants import MUTANTS, mutated
from tests.chaos.oracle.invariants import judge
from tests.chaos.report import table, verdict
from tests.chaos.schedule import LONG_ROUND, schedule
from tests.chaos.trial import Outcome, Plan, Trial
from tests.chaos.workload import workload

RUNS_A_MINUTE = 120


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break one mechanism, to see that it is noticed")
    parser.add_argument("--folder", type=Path, help="where the logs of the processes go (default: a temporary one)")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    seconds = arguments.minutes * 60
    talks = workload(arguments.seed, seconds, round(RUNS_A_MINUTE * arguments.minutes))
    command = mutated(arguments.mutant) if arguments.mutant else plain
    plan = Plan(talks, schedule(arguments.seed, seconds, LONG_ROUND), command)
    with tempfile.TemporaryDirectory(prefix="clew-chaos-") as temporary:
        folder: Path = arguments.folder or Path(temporary)
        outcome = uvloop.run(_trial(plan, Path(temporary), folder))
    violations = judge(outcome.facts)
    print(table(outcome))
    print(verdict(violations, arguments.seed))
    sys.exit(bool(violations))


async def _trial(plan: Plan, home: Path, folder: Path) -> Outcome:
    def say(name: str, line: str) -> None:
        print(f"{name}: {line}", flush=True)

    home_of_parts = Home(home / "parts")
    with home_of_parts.claim():
        async with Stack(home_of_parts, free_ports(), say, durable=False) as stack:
            env = {"S3_BUCKET": DEFAULT_BUCKET, **stack.env, "CLEW_NAMESPACE": "chaos"}
            return await Trial(stack, env, folder / "services", plan).run()


if __name__ == "__main__":
    main()
