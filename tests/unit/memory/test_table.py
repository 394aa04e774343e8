"""How rows of one key become one."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text

from clew.contracts.usage import Usage
from clew.memory.projections.table import Projection, Row, by, usage_row

TABLE = Table(
    "things",
    MetaData(),
    Column("key", Integer, primary_key=True),
    Column("kept", Text),
    Column("first", Integer, info=by("first")),
    Column("last", Integer, info=by("last")),
    Column("low", Integer, info=by("least")),
    Column("high", Integer, info=by("greatest")),
    Column("total", Integer, info=by("sum")),
)
THINGS = Projection(TABLE, lambda event, record: [])
NUMBERS = st.none() | st.integers(-5, 5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"key": st.integers(0, 2)}, optional={name: NUMBERS for name in ("first", "last", "low", "high", "total")}
    ),
    max_size=12,
)


def merged(rows: list[Row]) -> list[Row]:
    gathering = THINGS.gathering()
    gathering.take(rows)
    return [dict(zip(TABLE.columns.keys(), cells, strict=True)) for cells in gathering.cells()]


def test_columns_are_merged_each_by_its_rule() -> None:
    rows: list[Row] = [
        {"key": 1, "kept": "a", "first": None, "last": 1, "low": 3, "high": 3, "total": 3},
        {"key": 1, "kept": "b", "first": 2, "last": 2, "low": 1, "high": 9, "total": 4},
        {"key": 1, "kept": "c", "first": 3, "last": None, "low": 2, "high": None, "total": None},
    ]
    assert merged(rows) == [{"key": 1, "kept": "a", "first": 2, "last": 2, "low": 1, "high": 9, "total": 7}]


@given(ROWS)
def test_each_key_is_there_once(rows: list[Row]) -> None:
    keys = [row["key"] for row in merged(rows)]
    assert sorted(keys, key=str) == sorted({row["key"] for row in rows}, key=str)


@given(ROWS, st.integers(0, 12))
def test_where_a_batch_is_cut_does_not_matter(rows: list[Row], cut: int) -> None:
    assert merged([*merged(rows[:cut]), *merged(rows[cut:])]) == merged(rows)


@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_least_greatest_and_sum_do_not_depend_on_the_order(both: tuple[list[Row], list[Row]]) -> None:
    def commuting(rows: list[Row]) -> dict[object, tuple[object, ...]]:
        return {row["key"]: (row["low"], row["high"], row["total"]) for row in merged(rows)}

    assert commuting(both[0]) == commuting(both[1])


def test_a_table_without_rules_keeps_the_first_row_of_a_key() -> None:
    plain = Projection(Table("plain", MetaData(), Column("key", Integer, primary_key=True)), lambda event, record: [])
    assert plain.upsert.endswith("ON CONFLICT DO NOTHING")


@given(st.lists(st.floats(0, allow_nan=False, allow_infinity=False), min_size=2, max_size=8))
def test_the_sum_of_costs_does_not_depend_on_their_order(costs: list[float]) -> None:
    def total(values: list[float]) -> Row:
        [row] = merged([{"key": 1, "total": usage_row(Usage(cost_usd=value))["cost_usd"]} for value in values])
        return row

    assert isinstance(total(costs)["total"], Decimal)
    assert total(costs) == total(costs[::-1])
