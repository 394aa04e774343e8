"""The bookkeeping of one partition, driven by generated sequences of arrivals and endings."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from clew.chassis.keyed import Ownership

KEYS = ("a", "b", "c")
# An action is either "a record of this key arrives" or "the n-th key that is at work finishes its record".
ACTIONS = st.lists(st.one_of(st.sampled_from(KEYS), st.integers(0, 5)), max_size=60)


def play(actions: list[str | int]) -> tuple[Ownership[int], set[int], dict[str, list[int]]]:
    """Plays the actions; returns the partition, the finished offsets and, per key, the order in which they ended."""
    owned, finished, ended = Ownership[int](), set[int](), defaultdict[str, list[int]](list)
    offset = 10
    for action in actions:
        if isinstance(action, str):
            owned.admit(offset, action, offset)
            offset += 1
        elif keys := list(owned.keys()):
            key = keys[action % len(keys)]
            head = owned.head(key)
            assert head is not None
            owned.finish(key)
            finished.add(head)
            ended[str(key)].append(head)
        assert_commit_is_first_unfinished(owned, offset, finished)
    return owned, finished, ended


def assert_commit_is_first_unfinished(owned: Ownership[int], end: int, finished: set[int]) -> None:
    unfinished = [offset for offset in range(10, end) if offset not in finished]
    if end == 10:
        assert owned.commit is None
    else:
        assert owned.commit == (unfinished[0] if unfinished else end)


@given(ACTIONS)
def test_commit_never_passes_unfinished_work(actions: list[str | int]) -> None:
    owned, finished, _ = play(actions)
    assert len(owned) == sum(isinstance(action, str) for action in actions) - len(finished)


@given(ACTIONS)
def test_records_of_a_key_end_in_the_order_of_the_log(actions: list[str | int]) -> None:
    _, _, ended = play(actions)
    assert all(offsets == sorted(offsets) for offsets in ended.values())


def test_a_key_starts_work_only_when_it_is_idle() -> None:
    owned = Ownership[str]()
    assert owned.admit(0, "a", "first")
    assert not owned.admit(1, "a", "second")
    assert owned.admit(2, "b", "other")
    owned.finish("a")
    assert owned.head("a") == "second"
    owned.finish("a")
    assert owned.head("a") is None
    assert owned.admit(3, "a", "third")


def test_records_read_again_after_a_rebalance_are_ignored() -> None:
    owned = Ownership[str]()
    owned.admit(5, "a", "one")
    owned.admit(6, "b", "two")
    owned.finish("b")
    assert not owned.admit(5, "a", "one")
    assert not owned.admit(6, "b", "two")
    assert len(owned) == 1
    assert owned.commit == 5
    assert owned.admit(9, "c", "after a gap, as compaction leaves them")
    owned.finish("a")
    assert owned.commit == 9
