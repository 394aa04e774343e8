"""`clew events grep`: what is in the log already."""

import re

import click

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import NotCompleted
from clew.ops.entries import Entry, Filter
from clew.ops.log import up_to_now
from clew.ops.options import filters
from clew.ops.settings import asynchronous, settings

HELP = """Print the events in the log whose body matches a regular expression (`.` matches all), oldest first in each
partition. Exit code 1 when there are none.

\b
Examples:
  clew events grep "flight" --type user-message-received --since 2d
  clew events grep . --run "$RUN" --json | jq .body
"""


class Pattern(click.ParamType["re.Pattern[str]"]):
    """A regular expression."""

    name = "pattern"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> "re.Pattern[str]":
        try:
            return re.compile(str(value))
        except re.error as error:
            self.fail(f"no regular expression: {error}", param, ctx)


@click.command(help=HELP)
@click.argument("pattern", type=Pattern(), metavar="REGEX")
@filters
@as_json
@pass_cli
@asynchronous
async def grep(cli: Cli, pattern: "re.Pattern[str]", wanted: Filter, topics: tuple[str, ...], as_json: bool) -> None:
    found = False
    async for record in up_to_now(settings(), topics, wanted.since):
        entry = Entry(record)
        if wanted.takes(entry) and pattern.search((record.value or b"").decode(errors="replace")):
            found = True
            show(cli, entry, as_json)
    if not found:
        raise NotCompleted("no event matches")


def show(cli: Cli, entry: Entry, as_json: bool) -> None:
    """An event in a list."""
    if as_json:
        cli.out.json(entry.json())
    else:
        cli.out.row(entry.line())
