"""`clew dlq`: records that a service could not take in, and what becomes of them."""

import asyncio
import getpass
import json
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
from rich.progress import Progress
from rich.text import Text

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import Unknown
from clew.cli.safe import clean, fold, json_text
from clew.contracts.envelope import Position
from clew.contracts.topics import SERVICES, load_topics
from clew.ops.entries import printable
from clew.ops.letters import Letter, matching
from clew.ops.redrive import Redriver, all_letters, redriver
from clew.ops.settings import asynchronous, settings

TOPIC = click.Choice([topic.name for topic in load_topics().topics])
FILTERS = ("service", "topic", "reason", "run")
DETAIL = 80  # characters of a reason in a list
LIST = """List dead letters that nobody has dealt with yet, the oldest first.

\b
Examples:
  clew dlq list --service memory
  clew dlq list --all --json | jq -r .reason | sort | uniq -c
"""
SHOW = """Show a dead letter: why, by whom, and the record as it was.

\b
Examples:
  clew dlq show plans/3/41
  clew dlq show plans/3/41 --body > fixed.json
"""
REDRIVE = """Write the records of dead letters to their topics again, with key, headers and cause as they were.

Without letters named, all open ones that the filters let through. A record that was written again already is
recognised and not written twice. --edit takes a file with the body to write instead (one letter only); the original
stays in the dead letters.

\b
Examples:
  clew dlq redrive --service memory --reason Malformed --dry-run
  clew dlq redrive plans/3/41 --edit fixed.json
"""
DROP = """Set dead letters aside for good; they stay in the log for as long as it keeps them.

Name them, or choose open ones by filters; never all of them.

\b
Examples:
  clew dlq drop plans/3/41 --note "a test of ours"
  clew dlq drop --service memory --reason Malformed --dry-run
"""
T = TypeVar("T")


def filters(command: Callable[..., T]) -> Callable[..., T]:
    """Options that choose letters; the command gets them as `choose`, from all letters to the chosen ones."""

    @wraps(command)
    def with_filter(
        *args: Any, service: str | None, topic: str | None, reason: str | None, run: UUID | None, **others: Any
    ) -> T:
        def choose(found: Sequence[Letter]) -> list[Letter]:
            return matching(found, service=service, topic=topic, reason=reason, run=run)

        return command(*args, choose=choose, **others)

    for option in (
        click.option("--run", type=click.UUID, metavar="ID", help="Only records that name this run."),
        click.option("--reason", metavar="NAME", help="Only those refused for this reason, such as Malformed."),
        click.option("--topic", type=TOPIC, metavar="NAME", help="Only of this topic."),
        click.option(
            "--service", type=click.Choice(SERVICES), metavar="NAME", help="Only those that this service refused."
        ),
    ):
        with_filter = option(with_filter)
    return with_filter


@click.group()
def dlq() -> None:
    """Dead letters: records that a service could not take in."""


@dlq.command("list", help=LIST)
@filters
@click.option("--all", "everything", is_flag=True, help="Also those that somebody has dealt with.")
@as_json
@pass_cli
@asynchronous
async def list_letters(
    cli: Cli, choose: Callable[[Sequence[Letter]], list[Letter]], everything: bool, as_json: bool
) -> None:
    found = [letter for letter in choose(await all_letters(settings())) if everything or letter.resolved is None]
    if as_json:
        for letter in found:
            cli.out.json(letter_json(letter))
        return
    cli.out.table(("RECORD", "TYPE", "REFUSED BY", "WHEN", "REASON"), [_row(letter, cli.out.fancy) for letter in found])
    if not found:
        cli.err.note("there are no dead letters")


@dlq.command(help=SHOW)
@click.argument("record", metavar="TOPIC/PARTITION/OFFSET")
@click.option("--body", is_flag=True, help="Print the body alone, to be edited for a redrive.")
@as_json
@pass_cli
@asynchronous
async def show(cli: Cli, record: str, body: bool, as_json: bool) -> None:
    [letter] = named(await all_letters(settings()), [record])
    if body:
        return cli.out.text(json_text(printable(letter.value)))
    if as_json:
        cli.out.json(letter_json(letter))
        return
    for name, value in (*header(letter), *((name, printable(raw)) for name, raw in letter.headers)):
        cli.out.console.print(Text(f"{name:<16} ", "dim") + Text(clean(str(value))), soft_wrap=True)
    cli.out.text(json_text(printable(letter.value)))


@dlq.command(help=REDRIVE)
@click.argument("records", nargs=-1, metavar="[TOPIC/PARTITION/OFFSET]...")
@filters
@click.option("--edit", "body", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A body of JSON.")
@click.option("--rate", type=click.FloatRange(min=0.1), default=100.0, show_default=True, help="Records a second.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@as_json
@pass_cli
@asynchronous
async def redrive(
    cli: Cli,
    records: tuple[str, ...],
    choose: Callable[[Sequence[Letter]], list[Letter]],
    body: Path | None,
    rate: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    _one_way(records)
    chosen = _chosen(await all_letters(settings()), records, choose)
    if body is not None and len(chosen) != 1:
        raise click.UsageError("--edit is for one record: name it")
    edited = None if body is None else json.dumps(_json_of(body)).encode()
    many = f"{len(chosen)} {'record' if len(chosen) == 1 else 'records'}"
    cli.err.note(f"{many} would be written again" if dry_run else f"writing {many} again")
    if dry_run:
        for letter in chosen:
            told(cli, letter, "", as_json)
        return
    async with redriver(settings(), getpass.getuser()) as driver:
        await _redrive(cli, driver, chosen, edited, rate, as_json)


def told(cli: Cli, letter: Letter, to: str | None, as_json: bool) -> None:
    """One letter that is dealt with: written again at `to`, dropped (None), or only looked at (empty)."""
    if as_json:
        cli.out.json(
            {"record": letter.id, "type": letter.type, "reason": letter.event.reason, "redriven_to": to or None}
        )
    elif to:
        cli.out.text(f"{letter.id}\t{to}")
    else:
        cli.out.text(f"{letter.id}\t{letter.type}\t{letter.event.reason}")


async def _redrive(
    cli: Cli, driver: Redriver, chosen: Sequence[Letter], edited: bytes | None, rate: float, as_json: bool
) -> None:
    done: list[tuple[Letter, Position]] = []
    try:
        with Progress(console=cli.err.console, disable=not cli.err.fancy) as progress:
            for letter in progress.track(chosen, description="written again"):
                done.append((letter, await driver.redrive(letter, edited)))
                await asyncio.sleep(1 / rate)
    finally:  # not meanwhile: the bar would write over it
        for letter, position in done:
            told(cli, letter, f"{position.topic}/{position.partition}/{position.offset}", as_json)


@dlq.command(help=DROP)
@click.argument("records", nargs=-1, metavar="[TOPIC/PARTITION/OFFSET]...")
@filters
@click.option("--note", metavar="TEXT", help="Why.")
@click.option("--dry-run", is_flag=True, help="Say what would be dropped; drop nothing.")
@as_json
@pass_cli
@asynchronous
async def drop(
    cli: Cli,
    records: tuple[str, ...],
    choose: Callable[[Sequence[Letter]], list[Letter]],
    note: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    if not _one_way(records):
        raise click.UsageError("name records, or choose some by filters")
    chosen = _chosen(await all_letters(settings()), records, choose)
    if dry_run:
        for letter in chosen:
            told(cli, letter, None, as_json)
        return
    async with redriver(settings(), getpass.getuser()) as driver:
        for letter in chosen:
            await driver.resolve(letter, None, note=note)
            told(cli, letter, None, as_json)


def _one_way(records: Sequence[str]) -> bool:
    """Whether letters are named or filtered. UsageError when they are both: what would that mean?"""
    given = [f"--{name}" for name in FILTERS if click.get_current_context().params[name]]
    if records and given:
        raise click.UsageError(f"name records or filter, not both: {' '.join(records)} and {', '.join(given)}")
    return bool(records or given)


def _chosen(
    found: Sequence[Letter], records: Sequence[str], choose: Callable[[Sequence[Letter]], list[Letter]]
) -> list[Letter]:
    """Those named, or else the open ones that the filters let through."""
    return named(found, records) if records else choose([letter for letter in found if letter.resolved is None])


def named(found: Sequence[Letter], records: Sequence[str]) -> list[Letter]:
    """The letters about these records. Unknown names the first that is not there."""
    by_id = {letter.id: letter for letter in found}
    if missing := [record for record in records if record not in by_id]:
        raise Unknown(f"there is no dead letter about {missing[0]}; clew dlq list --all shows those there are")
    return [by_id[record] for record in records]


def letter_json(letter: Letter) -> dict[str, Any]:
    """A letter for programs."""
    return {
        "record": letter.id,
        "type": letter.type,
        "services": list(letter.services),
        "reason": letter.event.reason,
        "detail": letter.event.detail,
        "run_id": letter.event.run_id,
        "recorded_at": letter.event.recorded_at.isoformat(),
        "headers": {name: printable(raw) for name, raw in letter.headers},
        "body": printable(letter.value),
        "resolved": None if letter.resolved is None else letter.resolved.model_dump(mode="json"),
    }


def header(letter: Letter) -> list[tuple[str, str]]:
    done = letter.resolved
    return [
        ("record", letter.id),
        ("refused by", ", ".join(letter.services)),
        ("reason", f"{letter.event.reason}: {letter.event.detail}"),
        ("written", letter.event.recorded_at.isoformat()),
        ("state", "open" if done is None else f"{done.action} by {done.resolved_by}"),
    ]


def _row(letter: Letter, narrow: bool) -> tuple[str, ...]:
    """A letter in a list; on a screen the type is short, and the moment without year and seconds."""
    when = f"{letter.event.recorded_at.astimezone():%Y-%m-%d %H:%M:%S}"
    why = fold(f"{letter.event.reason}: {letter.event.detail}", DETAIL)
    if narrow:
        return letter.id, letter.type.removeprefix("clew."), ", ".join(letter.services), when[5:16], why
    return letter.id, letter.type, ", ".join(letter.services), when, why


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise click.UsageError(f"{path} is not JSON: {error}") from error
