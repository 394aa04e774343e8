"""The rows that a batch means for one table, taken in as each event gives them: while a row is at hand it is merged
with what the batch has said of its key before, and then let go.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal
from operator import itemgetter
from typing import Any, Final, Literal, Protocol, TypeAlias

Row: TypeAlias = Mapping[str, object]
Rule: TypeAlias = Literal["first", "last", "least", "greatest", "sum"]
EXACT: Final = Context(prec=400)  # digits: any float and the smallest cost fit into one number
_MERGES: Final[dict[Rule, Callable[[Any, Any], Any]]] = {
    "first": lambda old, _new: old,
    "least": min,
    "greatest": max,
    "sum": lambda old, new: EXACT.add(old, new) if isinstance(old, Decimal) else old + new,
}


class Gathering(Protocol):
    """`take` as many rows as there are; `cells` are then those to write, each with the values of all columns."""

    def take(self, rows: Iterable[Row]) -> None: ...

    def cells(self) -> Sequence[Iterable[object]]: ...


class Kept:
    """Every row, for a table that keeps the first of a key: Postgres leaves out the others. `blank`: see `Merged`."""

    def __init__(self, blank: Row) -> None:
        self._blank = blank
        self._all: Callable[[Row], tuple[object, ...]] = itemgetter(*blank)
        self._cells: list[Iterable[object]] = []

    def take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            try:
                self._cells.append(self._all(row))
            except KeyError:  # it does not name every column
                self._cells.append({**self._blank, **row}.values())

    def cells(self) -> Sequence[Iterable[object]]:
        return self._cells


class Merged:
    """One row per key, because a statement may touch a row only once, merged column by column.

    `blank` is a row that says nothing, with all columns in their order: a dict keeps it, whatever is written over it.
    """

    def __init__(self, blank: Row, key: Callable[[Row], object], rules: Mapping[str, Rule]) -> None:
        self._blank = blank
        self._key = key
        self._last = {name for name, rule in rules.items() if rule == "last"}
        self._merges = {name: _MERGES[rule] for name, rule in rules.items() if rule != "last"}
        self._known: dict[object, dict[str, object]] = {}

    def take(self, rows: Iterable[Row]) -> None:
        merges, last = self._merges, self._last
        for row in rows:
            key = self._key(row)
            if (known := self._known.get(key)) is None:
                self._known[key] = {**self._blank, **row}
                continue
            for name, new in row.items():
                if new is None:
                    continue
                if name in last:
                    known[name] = new
                elif name in merges:
                    old = known[name]
                    known[name] = new if old is None else merges[name](old, new)

    def cells(self) -> Sequence[Iterable[object]]:
        return [row.values() for row in self._known.values()]
