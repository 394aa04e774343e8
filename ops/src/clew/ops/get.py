"""`clew events get`: one record, whole."""

import click
from rich.text import Text

from clew.cli.context import Cli, as_json, pass_cli
from clew.cli.errors import Unknown
from clew.cli.safe import clean, json_text
from clew.contracts.topics import load_topics
from clew.ops.entries import Entry
from clew.ops.log import one, whole
from clew.ops.settings import asynchronous, settings

HELP = """Show the record at a place of the log: headers, key and body, fetched from the object store if it lies there.

\b
Examples:
  clew events get task-updates/7/1042
  clew events get --json plans/3/9 | jq .body.plan
"""


class Place(click.ParamType[tuple[str, int, int]]):
    """`topic/partition/offset`, as other commands print it."""

    name = "place"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int, int]:
        topic, partition, offset = [*str(value).split("/"), "", ""][:3]
        if not (partition.isdecimal() and offset.isdecimal() and str(value).count("/") == 2):
            self.fail(f"{value!r} is not like task-updates/7/1042", param, ctx)
        if topic not in (names := [row.name for row in load_topics().topics]):
            self.fail(f"there is no topic {topic!r}; there are {', '.join(names)}", param, ctx)
        return topic, int(partition), int(offset)


@click.command(help=HELP)
@click.argument("place", type=Place(), metavar="TOPIC/PARTITION/OFFSET")
@as_json
@pass_cli
@asynchronous
async def get(cli: Cli, place: tuple[str, int, int], as_json: bool) -> None:
    record = await one(settings(), *place)
    if record is None:
        raise Unknown(f"there is no record at {'/'.join(map(str, place))}")
    entry = Entry(await whole(settings(), record))
    if as_json:
        cli.out.json(entry.json())
        return
    cli.out.console.print(entry.line(), soft_wrap=True)
    for name, value in entry.headers.items():
        cli.out.console.print(Text(f"{name:<16} ", "dim") + Text(clean(value)), soft_wrap=True)
    cli.out.text(json_text(entry.body))
