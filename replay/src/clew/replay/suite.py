"""`clew replay-suite`: many recordings at once, as a check before a deploy and in CI."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import click

from clew.cli.context import Cli, NewFile, as_json, pass_cli
from clew.cli.safe import fold
from clew.cli.since import Since
from clew.replay.errors import CannotReplay, Diverges
from clew.replay.export import tenant_option
from clew.replay.process import ALL, Order, verdicts
from clew.replay.recording import written
from clew.replay.source import sampled, settings, spread
from clew.replay.verdict import Difference

SHOWN = 100  # characters of what is wrong with a recording in the table
BATCH = 500  # files for one process: starting it costs as much as many replays
HELP = """Replay many recordings in parallel: would today's code strand the runs in them?

Either every recording (*.jsonl) of a folder, or with --since the runs of a tenant that began after a moment, parked and
running ones too; --sample takes so many of them, evenly spread. For these it reads memory's views, with a service's own
environment. With --no-plan plans are only carried out: that is what a deploy does with runs that are planned.

\b
Examples:
  clew replay-suite tests/replay/histories
  clew replay-suite recordings --junit replay.xml --jobs 8
  clew replay-suite --since 3d --sample 200 --no-plan

\b
Exit codes:
  0   all identical
  3   one or more diverged
  16  none diverged, and one or more could not be replayed, or there are none
  19  memory's views cannot be read
"""


@click.command("replay-suite", help=HELP)
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[DIR]", required=False
)
@click.option("--since", type=Since(), metavar="WHEN", help="Runs since 15m, 2h or 3d ago, or since a moment.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="No more of them than this.")
@click.option("--junit", type=NewFile(), metavar="FILE", help="Write the results as JUnit XML too.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes at a time; default: the processors.")
@click.option("--plan/--no-plan", "planning", default=True, help="Plan again too (default), or only carry plans out.")
@tenant_option
@as_json
@pass_cli
def suite(
    cli: Cli,
    folder: Path | None,
    since: datetime | None,
    sample: int | None,
    junit: Path | None,
    jobs: int | None,
    planning: bool,
    tenant: str,
    as_json: bool,
) -> None:
    if (folder is None) == (since is None):
        raise click.UsageError("name either a folder or --since WHEN")
    with TemporaryDirectory() as kept:
        if since is not None:
            asyncio.run(_keep(Path(kept), since, sample, tenant))
        found = sorted((folder or Path(kept)).glob("*.jsonl"))
        files = [str(path) for path in spread(found, sample or len(found))]
        if not files:
            raise CannotReplay(
                f"there are no recordings (*.jsonl) in {folder}" if folder else "no run began since then"
            )
        cli.err.note(f"replaying {len(files)} recordings: their recorded calls answer, 0 are made")
        told = replayed(files, jobs or os.cpu_count() or 1, Order(planning=planning))
    told = [{**one, "file": Path(one["file"]).name} for one in told] if since is not None else told
    _show(cli, told, as_json)
    if junit is not None:
        junit.write_bytes(as_junit(told))
    if any(one.get("status") == "diverged" for one in told):
        raise Diverges("one or more recordings diverged")
    if any("error" in one for one in told):
        raise CannotReplay("one or more recordings could not be replayed")


async def _keep(folder: Path, since: datetime, sample: int | None, tenant: str) -> None:
    """Writes the runs as recordings, for the time being."""
    async with aclosing(sampled(since, sample, tenant, settings())) as runs:
        async for recording in runs:
            (folder / f"{recording.run_id}.jsonl").write_bytes("".join(written(recording)).encode())


def _show(cli: Cli, told: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for one in told:
            cli.out.json(one)
        return
    cli.out.table(("RECORDING", "VERDICT", "CALLS", "WHAT"), [row(one) for one in told])
    counts = Counter(verdict(one) for one in told)
    cli.err.note(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))


def replayed(files: Sequence[str], jobs: int, order: Order = ALL) -> list[dict[str, Any]]:
    """What the isolated processes say of the files, in their order."""
    size = min(BATCH, max(1, -(-len(files) // jobs)))
    batches = [files[at : at + size] for at in range(0, len(files), size)]
    with ThreadPoolExecutor(jobs) as pool:
        return [one for told in pool.map(partial(_all, order), batches) for one in told]


def _all(order: Order, batch: Sequence[str]) -> list[dict[str, Any]]:
    return list(_each(order, batch))


def _each(order: Order, batch: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A recording that takes its process with it is told of, and the others are replayed in another one."""
    while batch:
        told = 0
        try:
            for verdict in verdicts(batch, order):
                told += 1
                yield verdict
        except CannotReplay as error:
            yield {"file": batch[told], "error": str(error), "code": error.code}
            told += 1
        batch = batch[told:]


def row(told: dict[str, Any]) -> tuple[str, ...]:
    return Path(told["file"]).name, verdict(told), str(told.get("calls", "")), fold(reason(told), SHOWN)


def verdict(told: dict[str, Any]) -> str:
    return told.get("status", "error")


def reason(told: dict[str, Any]) -> str:
    """What is wrong, in one line; empty for what is identical."""
    if "error" in told:
        return str(told["error"])
    difference = told.get("difference")
    return f"{difference['place']}: {difference['what']}" if difference else ""


def as_junit(told: Sequence[dict[str, Any]]) -> bytes:
    """The results as CI systems read them: a case for each recording."""
    bad = [one for one in told if one.get("status") == "diverged"]
    errors = [one for one in told if "error" in one]
    counts = {"tests": str(len(told)), "failures": str(len(bad)), "errors": str(len(errors))}
    root = ElementTree.Element("testsuite", {"name": "clew replay-suite", **counts})
    for one in told:
        case = ElementTree.SubElement(root, "testcase", {"classname": "replay", "name": Path(one["file"]).name})
        if "error" in one:
            ElementTree.SubElement(case, "error", {"message": reason(one)})
        elif one.get("difference"):
            failure = ElementTree.SubElement(case, "failure", {"message": reason(one)})
            failure.text = "\n".join(Difference(**one["difference"]).lines())
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
