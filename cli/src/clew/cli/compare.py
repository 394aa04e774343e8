"""`clew run diff`: two runs side by side, step by step and call by call, as they are recorded. Nothing runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import click
from rich.text import Text

from clew.cli.compared import page
from clew.cli.context import Cli, NewFile, as_json, pass_cli
from clew.cli.pairs import Pair, pairs
from clew.cli.safe import clean, folded_json
from clew.cli.view import found
from clew.cli.words import changes

FOLDED: Final = 120
HELP = """Compare two runs: plan, calls with arguments and results, answer, tokens, cost, time. Nothing runs.

Calls are paired by their key, which says step, agent and place and not the run. In texts the words that changed are
marked. Differences are no failure. --html writes one page that needs nothing else, to send or to keep.

\b
Examples:
  clew run diff "$RUN" "$FORK"
  clew run diff "$RUN" "$FORK" --html compared.html
  clew run diff "$RUN" "$FORK" --json | jq -c 'select(.equal | not)'
"""


@click.command("diff", help=HELP)
@click.argument("run_a", type=click.UUID, metavar="A")
@click.argument("run_b", type=click.UUID, metavar="B")
@click.option("--html", type=NewFile(), metavar="FILE", help="Write a page instead.")
@as_json
@pass_cli
def diff(cli: Cli, run_a: UUID, run_b: UUID, html: Path | None, as_json: bool) -> None:
    a = found(lambda: cli.looking(str(run_a)).state(str(run_a)), f"there is no run {run_a}")
    b = found(lambda: cli.looking(str(run_b)).state(str(run_b)), f"there is no run {run_b}")
    compared = list(pairs(a, b))
    if html is not None:
        html.write_text(page(str(run_a), str(run_b), compared), encoding="utf-8")
        cli.err.note(f"written to {html}")
        return
    for pair in compared:
        if as_json:
            cli.out.json(pair.json)
            continue
        for line in _lines(pair):
            cli.out.console.print(line, soft_wrap=not cli.out.fancy)


def _lines(pair: Pair) -> Iterator[Text]:
    if pair.equal:
        yield Text(clean(f"= {pair.what} {pair.name}"), "dim")
        return
    yield Text(clean(f"≠ {pair.what} {pair.name}"), "bold")
    if isinstance(pair.a, str) and isinstance(pair.b, str):
        pieces = list(changes(pair.a, pair.b))
        yield from _side("-", "red", [(text, kind == "gone") for kind, text in pieces if kind != "new"])
        yield from _side("+", "green", [(text, kind == "new") for kind, text in pieces if kind != "gone"])
        return
    for sign, style, side in (("-", "red", pair.a), ("+", "green", pair.b)):
        if side is not None:
            yield Text(f"  {sign} {clean(folded_json(side, FOLDED))}", style)


def _side(sign: str, style: str, pieces: list[tuple[str, bool]]) -> Iterator[Text]:
    """One side of a text, line by line; the words that changed stand out."""
    whole = Text(style=style)
    for text, changed in pieces:
        whole.append(clean(text), "reverse" if changed else "")
    for line in whole.split("\n", allow_blank=True):
        yield Text.assemble((f"  {sign} ", style), line)
