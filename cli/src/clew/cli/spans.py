"""A run's timeline as text: a bar for each span and each wait, to scale. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.text import Text

from clew.cli.safe import one_line
from clew.cli.wire import Json

WIDTH: Final = 50  # columns of the scale
NAME: Final = 34
STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "red", "retried": "yellow"}


def drawn(timeline: Json) -> Iterator[Text]:
    """Spans and waits in the order in which they began: `█` is work, `·` waiting."""
    rows = sorted([*timeline["spans"], *timeline["waits"]], key=_began)
    if not rows:
        return
    first = min(_moment(_began(row)) for row in rows)
    last = max(_moment(moment) for row in rows for moment in (_began(row), _ended(row)) if moment)
    whole = max((last - first).total_seconds(), 1e-6)
    yield Text(f"{'':{NAME}} 0 s{f'{whole:.2f} s':>{WIDTH - 3}}", "dim")
    for row in rows:
        begin = (_moment(_began(row)) - first).total_seconds()
        ended = _ended(row)
        end = (_moment(ended) - first).total_seconds() if ended else whole
        yield _row(row, begin, end, whole, ended is None)


def _row(row: Json, begin: float, end: float, whole: float, is_open: bool) -> Text:
    left = min(int(begin / whole * WIDTH), WIDTH - 1)
    length = max(round((end - begin) / whole * WIDTH), 1)
    waits = "waited_for" in row
    bar = ("·" if waits else "█") * min(length, WIDTH - left)
    name, style = (_waited(row), "dim") if waits else (_named(row), STYLES.get(row.get("outcome") or "", "bold"))
    took = f"{end - begin:.2f} s" + (" so far" if is_open else "")
    return Text.assemble(f"{name:<{NAME}.{NAME}} ", (f"{' ' * left + bar:<{WIDTH}}", style), f" {took}")


def _named(row: Json) -> str:
    depth = {"run": 0, "step": 1, "call": 2}[row["kind"]]
    again = f" ({row['attempt']})" if row["attempt"] > 1 else ""
    return "  " * depth + one_line(row["name"]) + again


def _waited(row: Json) -> str:
    who = f"{row['step_id']} " if row.get("step_id") else ""
    return f"    {who}waits for {row['waited_for']}"


def _began(row: Json) -> str:
    return row.get("started_at") or row["since"]


def _ended(row: Json) -> str | None:
    return row.get("ended_at") or row.get("until")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
