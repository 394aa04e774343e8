"""`python -m clew.memory rebuild` and `verify`: what they print, and when they swap.

Exit status 0: equal, or swapped. 1: there are differences and nothing was swapped.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from prometheus_client import CollectorRegistry

from clew.chassis import clock
from clew.chassis.blobs import S3BlobStore
from clew.chassis.log import LogReader
from clew.chassis.records import Decoder
from clew.contracts.deadletters import RecordDeadLettered
from clew.memory.app import PROJECTED
from clew.memory.compare import short
from clew.memory.intake import Intake
from clew.memory.metrics import Metrics
from clew.memory.projector import Projector
from clew.memory.rebuild import CannotSwap, Counter, Progress, Rebuild, Verdict
from clew.memory.settings import Settings
from clew.memory.store import Store
from clew.views.names import Schemas

BAR = 30  # characters


def main(command: str, arguments: Sequence[str]) -> None:
    """Runs `rebuild` or `verify`; exits with its status."""
    parser = argparse.ArgumentParser(f"clew memory {command}")
    if command == "rebuild":
        parser.add_argument("--accept", action="store_true", help="swap although another version projected otherwise")
        parser.add_argument("--drop-old", action="store_true", help="drop the tables that an earlier rebuild replaced")
    options = parser.parse_args(list(arguments))
    try:
        rebuild = rebuild_from(Settings.model_validate({}), Bar())
        if command == "verify":
            sys.exit(asyncio.run(verify(rebuild)))
        sys.exit(asyncio.run(run(rebuild, accept=options.accept, drop_old=options.drop_old)))
    except CannotSwap as problem:
        sys.exit(f"clew: {problem}")


def rebuild_from(settings: Settings, progress: Progress) -> Rebuild:
    """A rebuild of what these settings point at."""
    database_url = settings.database_url.get_secret_value()
    log, metrics = LogReader(settings), Metrics(CollectorRegistry())

    @asynccontextmanager
    async def projector(schemas: Schemas, counter: Counter) -> AsyncGenerator[Projector]:
        intake = Intake(Decoder(S3BlobStore(settings)).event, _parked_already, clock.now, metrics)
        async with Store(database_url, schemas) as store:
            yield Projector(store, log, intake, counter, PROJECTED, clock.now, metrics)

    return Rebuild(database_url, settings.namespace, projector, progress)


async def run(rebuild: Rebuild, *, accept: bool, drop_old: bool) -> int:
    """Rebuilds, compares, and swaps when nothing speaks against it."""
    if drop_old:
        print("dropped the old tables" if await rebuild.drop_old() else "there are no old tables")
        return 0
    verdict = await rebuild.run()
    _tell(verdict)
    if verdict.rows and verdict.same_version:
        print("The same rules gave other rows: nothing is swapped. The rebuilt tables stay in", rebuild.new.tables)
        return 1
    if verdict.rows and not accept:
        print("Another version of the projections wrote the live tables. To swap: clew memory rebuild --accept")
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
    print("\n".join(short(verdict.rows)) if verdict.rows else "equal, table by table")


async def _parked_already(letter: RecordDeadLettered) -> None:
    """The live projector has parked the record; a second dead letter would say nothing new."""


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
