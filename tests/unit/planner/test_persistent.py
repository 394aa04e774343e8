"""A mapping that shares what did not change: it is a dict to whoever reads it."""

from hypothesis import given
from hypothesis import strategies as st

from clew.planner.persistent import PersistentMap

ENTRIES = st.lists(st.tuples(st.integers(0, 2000), st.integers()), max_size=50)


@given(ENTRIES, st.dictionaries(st.integers(0, 2000), st.integers(), max_size=50))
def test_it_holds_what_a_dict_would(one_by_one: list[tuple[int, int]], at_once: dict[int, int]) -> None:
    built, expected = PersistentMap[int, int](), dict[int, int]()
    for key, value in one_by_one:
        before, size = built, len(built)
        built, expected = built.put(key, value), {**expected, key: value}
        assert (len(before), before == built) == (size, size == len(built) and before.get(key) == value)
    built, expected = built.put_all(at_once), {**expected, **at_once}
    assert built == expected
    assert (len(built), sorted(built)) == (len(expected), sorted(expected))
    assert all(built[key] == value for key, value in expected.items())
    assert built.get(-1) is None
