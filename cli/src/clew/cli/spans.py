"""A run's timeline as text: a bar for each span and each wait, to scale. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.text import Text

from clew.cli.safe import one_line
from clew.cli.wire import Json

WIDTH: Final = 50  # columns of the scale at most
NARROWEST: Final = 10
NAME: Final = 34  # columns of a name at most
TOOK: Final = 12  # columns that a duration takes, with what stands between
STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "red", "retried": "yellow"}


def drawn(timeline: Json, columns: int = NAME + WIDTH + TOOK) -> Iterator[Text]:
    """Spans and waits in the order in which they began: `█` is work, `·` waiting; drawn for so many columns."""
    rows = sorted([*timeline["spans"], *timeline["waits"]], key=_began)
    if not rows:
        return
    first = min(_moment(_began(row)) for row in rows)
    last = max(_moment(moment) for row in rows for moment in (_began(row), _ended(row)) if moment)
    whole = max((last - first).total_seconds(), 1e-6)
    name = min(NAME, max(len(_title(row)) for row in rows)) if columns < NAME + WIDTH + TOOK else NAME
    width = min(WIDTH, max(NARROWEST, columns - name - TOOK))
    yield Text(f"{'':{name}} 0 s{f'{whole:.2f} s':>{width - 3}}", "dim")
    for row in rows:
        begin = (_moment(_began(row)) - first).total_seconds()
        ended = _ended(row)
        end = (_moment(ended) - first).total_seconds() if ended else whole
        took = f"{end - begin:.2f} s" + ("" if ended else " so far")
        yield _row(row, name, _bar(begin / whole, end / whole, width, "waited_for" in row), took)


def _bar(begin: float, end: float, width: int, waits: bool) -> str:
    """From one share of the whole to another."""
    left = min(int(begin * width), width - 1)
    length = max(round((end - begin) * width), 1)
    return f"{' ' * left + ('·' if waits else '█') * min(length, width - left):<{width}}"


def _row(row: Json, name: int, bar: str, took: str) -> Text:
    style = "dim" if "waited_for" in row else STYLES.get(row.get("outcome") or "", "bold")
    return Text.assemble(f"{_title(row):<{name}.{name}} ", (bar, style), f" {took}")


def _title(row: Json) -> str:
    return _waited(row) if "waited_for" in row else _named(row)


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
