"""`python -m clew.memory rebuild` and `verify`: what they print, and when they swap.

Exit status 0: equal, or swapped. 1: there are differences, or the swap cannot be, and nothing was swapped. 2: used
wrongly. 3: the log or Postgres does not answer.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from time import monotonic

from psycopg import OperationalError
from pydantic import ValidationError

from clew.chassis.errors import LogUnreachable
from clew.chassis.garbage import YOUNG_OF_BATCHES, collect_seldom
from clew.chassis.settings import faults
from clew.memory.compare import short
from clew.memory.filling import Ends, Told, fill, fill_apart, shares
from clew.memory.rebuild import BULK, CannotSwap, Progress, Rebuild, Verdict
from clew.memory.settings import Settings
from clew.memory.versions import told
from clew.views.names import Schemas

BAR = 30  # characters
UNREACHABLE = 3  # exit status, as of all commands of clew


def main(command: str, arguments: Sequence[str]) -> None:
    """Runs `rebuild` or `verify`; exits with its status."""
    parser = argparse.ArgumentParser(f"clew memory {command}")
    if command == "rebuild":
        parser.add_argument("--accept", action="store_true", help="swap although another version projected otherwise")
        parser.add_argument("--drop-old", action="store_true", help="drop the tables that an earlier rebuild replaced")
    parser.add_argument("--processes", type=at_least_one, default=2, help="how many read a long log side by side (2)")
    options = parser.parse_args(list(arguments))
    try:
        rebuild = rebuild_from(Settings.model_validate({}), Bar(), options.processes)
    except ValidationError as error:
        parser.error(f"the environment does not say where log and views are: {faults(error)}")
    collect_seldom(YOUNG_OF_BATCHES)
    try:
        if command == "verify":
            sys.exit(asyncio.run(verify(rebuild)))
        sys.exit(asyncio.run(run(rebuild, accept=options.accept, drop_old=options.drop_old)))
    except CannotSwap as problem:
        sys.exit(f"clew: {problem}")
    except (OperationalError, LogUnreachable) as error:
        parser.exit(UNREACHABLE, f"clew: {error}\nThe same command goes on where this one ended.\n")


def at_least_one(text: str) -> int:
    """A number of processes. ArgumentTypeError for fewer than one."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def rebuild_from(settings: Settings, progress: Progress, processes: int = 1, bulk: int = BULK) -> Rebuild:
    """A rebuild of what these settings point at, by so many processes where there are `bulk` records to read."""

    async def filled(schemas: Schemas, ends: Ends, total: int, told: Told) -> None:
        parts = shares(ends, processes if total >= bulk else 1)
        if len(parts) > 1:
            await fill_apart(settings, schemas, parts, told)
        else:
            await fill(settings, schemas, ends, told)

    return Rebuild(settings.database_url.get_secret_value(), settings.namespace, filled, progress, bulk)


async def run(rebuild: Rebuild, *, accept: bool, drop_old: bool) -> int:
    """Rebuilds, compares, and swaps when nothing speaks against it."""
    if drop_old:
        print("dropped the old tables" if await rebuild.drop_old() else "there are no old tables")
        return 0
    verdict = await rebuild.run()
    _tell(verdict)
    if verdict.wrong:
        print("The same rules gave other rows: nothing is swapped. The rebuilt tables stay in", rebuild.new.tables)
        return 1
    if verdict.rows and not accept:
        print("Other projections filled the live tables. To swap: clew memory rebuild --accept")
        return 1
    await rebuild.swap()
    print(f"swapped; the old tables are in {rebuild.old.tables} until clew memory rebuild --drop-old")
    return 0


async def verify(rebuild: Rebuild) -> int:
    """Rebuilds and compares; swaps nothing and leaves nothing."""
    verdict = await rebuild.run()
    _tell(verdict)
    await rebuild.drop_new()
    return 1 if verdict.rows else 0


def _tell(verdict: Verdict) -> None:
    if verdict.versions:
        print("projections:", told(verdict.versions))
    print("\n".join(line for rows in verdict.rows.values() for line in short(rows)) or "equal, table by table")


class Bar:
    """A line on the terminal: how far, how fast, how long yet."""

    def __init__(self) -> None:
        self._started = monotonic()
        self._shown = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = monotonic()
        if done < total and now - self._shown < 0.2:
            return
        self._shown = now
        rate = done / max(now - self._started, 1e-3)
        share = min(done / total, 1) if total else 1
        filled = int(BAR * share)
        left = f"{(total - done) / rate:,.0f} s left" if rate and done < total else "done"
        line = f"[{'#' * filled}{'.' * (BAR - filled)}] {done:,} of {total:,}  {rate:,.0f} events/s  {left}"
        end = "" if sys.stderr.isatty() else "\n"
        print(f"\r{line:<100}" if end == "" else line, end=end, file=sys.stderr, flush=True)
