"""How rows come into a table: one statement per table and batch, built from the table's own columns.

What a row says must depend on the set of events and never on how topics interleave. So a table either keeps the first
row of each key (no column names a rule), or merges column by column with rules that commute: `least`, `greatest`,
`sum`; and `first` and `last`, which only columns written from one topic may use: a topic keeps the order of its keys.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import reduce
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Numeric, Table, Text, Uuid
from sqlalchemy.dialects import postgresql

from clew.chassis.records import Record
from clew.contracts.envelope import Event
from clew.contracts.usage import Usage
from clew.memory.projections.gathering import EXACT, Gathering, Kept, Merged, Row, Rule
from clew.memory.projections.packing import BinaryArray, TextArray, packer

Projected: TypeAlias = Iterable[Row]
E = TypeVar("E", bound=Event)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_SMALLEST_COST: Final = Decimal("1e-12")  # US dollars
_SQL: Final[dict[Rule, str]] = {
    "first": "coalesce(t.{0}, excluded.{0})",
    "last": "coalesce(excluded.{0}, t.{0})",
    "least": "least(t.{0}, excluded.{0})",
    "greatest": "greatest(t.{0}, excluded.{0})",
    "sum": "coalesce(t.{0} + excluded.{0}, t.{0}, excluded.{0})",
}


def tenant() -> Column[str]:
    return Column("tenant_id", Text, nullable=False)


def uuid(name: str, *, key: bool = False) -> Column[Any]:
    return Column(name, Uuid, primary_key=key, nullable=False)


def moment(name: str, rule: Rule | None = None) -> Column[Any]:
    return Column(name, DateTime(timezone=True), info=by(rule))


def place() -> tuple[Column[int], Column[int]]:
    """Where in its topic the event stood that made the row."""
    return Column("partition", Integer, nullable=False), Column("record_offset", BigInteger, nullable=False)


def keyed_by_place(name: str, *columns: Column[Any]) -> Table:
    """A table with a row for each record that it is about, whatever ids the record bears."""
    return Table(
        name,
        metadata,
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("record_offset", BigInteger, primary_key=True, autoincrement=False),
        *columns,
    )


def by(rule: Rule | None) -> dict[str, Rule]:
    """The `info` of a column that is merged by `rule`."""
    return {} if rule is None else {"merge": rule}


def text(value: str) -> str:
    """`value` as Postgres can store it: its text type knows no NUL."""
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def usage_columns(rule: Rule | None = None) -> tuple[Column[Any], ...]:
    """What model requests took. Decimal costs, because sums of floats depend on how the events were batched."""
    counts = (
        Column(name, BigInteger, nullable=False, info=by(rule)) for name in Usage.model_fields if name != "cost_usd"
    )
    return (*counts, Column("cost_usd", Numeric, info=by(rule)))


def usage_row(*usages: Usage) -> Row:
    """What these took together, exactly: no cost is so large that a sum would not hold it."""
    costs = [_exactly(usage.cost_usd) for usage in usages if usage.cost_usd is not None]
    return {
        "requests": sum([usage.requests for usage in usages]),
        "input_tokens": sum([usage.input_tokens for usage in usages]),
        "output_tokens": sum([usage.output_tokens for usage in usages]),
        "cost_usd": reduce(EXACT.add, costs) if costs else None,
    }


def _exactly(cost: float) -> Decimal:
    return EXACT.quantize(Decimal(str(cost)), _SMALLEST_COST)


class Projection:
    """One table: `project(event, record)` gives the rows that an event means for it. It sees the events `of` these
    types and no others.

    `version` is raised with any change that gives other rows for the same log. `query` is what readers see of the table
    under its name; with it the table is made from here, without it by the revisions.
    """

    def __init__(
        self,
        table: Table,
        project: Callable[[E, Record], Projected],
        *of: type[E],
        version: int = 1,
        query: str | None = None,
    ) -> None:
        self.table = table
        self.version = version
        self.query = query
        self.project: Callable[[Any, Record], Projected] = project  # Any: one `of` these; `OF` sees to it
        self.of = of
        self._columns = [column for column in table.columns if column.computed is None]
        self._types = {column.name: _sql_type(column) for column in self._columns}
        self._key = _key(list(table.primary_key.columns))
        self._packers = [packer(sql_type) for sql_type in self._types.values()]
        self._rules: dict[str, Rule] = {c.name: c.info["merge"] for c in self._columns if "merge" in c.info}
        # A row that says nothing of a column. The sum of nothing is zero, where it must be something.
        self._blank = {
            c.name: 0 if self._rules.get(c.name) == "sum" and not c.nullable else None for c in self._columns
        }
        self.insert = self._insert()
        self.upsert = f"{self.insert} ON CONFLICT {self._conflict()}"

    def gathering(self) -> Gathering:
        """What takes in the rows of a batch."""
        return Merged(self._blank, self._key, self._rules) if self._rules else Kept(self._blank)

    def parameters(self, cells: Iterable[Iterable[object]]) -> list[BinaryArray | TextArray]:
        """The arrays for `insert` or `upsert`, one per column, of gathered rows."""
        return [pack(column) for pack, column in zip(self._packers, zip(*cells, strict=True), strict=True)]

    def _insert(self) -> str:
        names = ", ".join(f'"{name}"' for name in self._types)
        arrays = ", ".join(f"%s::{sql_type}[]" for sql_type in self._types.values())
        return f"INSERT INTO {self.table.name} AS t ({names}) SELECT * FROM unnest({arrays})"

    def _conflict(self) -> str:
        sets = ", ".join(f'"{name}" = {_SQL[rule].format(_quoted(name))}' for name, rule in self._rules.items())
        keys = ", ".join(_quoted(column.name) for column in self.table.primary_key.columns)
        return f"({keys}) DO UPDATE SET {sets}" if sets else "DO NOTHING"


def _key(columns: Sequence[Column[Any]]) -> Callable[[Any], object]:
    """What a row is merged by. Of ids their numbers, as a UUID's hash is computed in Python at each look."""
    names = [column.name for column in columns]
    of: Callable[[Any], Any] = itemgetter(*names)
    match [isinstance(column.type, Uuid) for column in columns]:
        case [True]:
            return lambda row: of(row).int
        case [True, True]:
            first, second = names
            return lambda row: (row[first].int, row[second].int)
        case [True, False]:
            first, second = names
            return lambda row: (row[first].int, row[second])
        case _:
            return of


def _quoted(name: str) -> str:
    return f'"{name}"'


def _sql_type(column: Column[Any]) -> str:
    return column.type.compile(dialect=postgresql.dialect())
