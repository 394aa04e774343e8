"""What a commit says beside its offset: finished offsets and the claim in force, within 4,096 bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.chassis.bookmarks import METADATA_LIMIT, Bookmark, Offsets, decode, encode

OFFSETS = st.sets(st.integers(0, 300), max_size=120)
CLAIMS = st.none() | st.text(max_size=40)


def offsets(found: set[int]) -> Offsets:
    return Offsets.between(0, max(found, default=-1) + 1, [o for o in range(max(found, default=0)) if o not in found])


def bookmark(base: int, finished: set[int], claim: str | None) -> Bookmark:
    return Bookmark(base, offsets({base + 1 + offset for offset in finished}), claim)


@given(OFFSETS, OFFSETS)
def test_sets_of_offsets_are_sets(one: set[int], other: set[int]) -> None:
    assert set(offsets(one)) == one
    assert set(offsets(one) | offsets(other)) == one | other
    assert {o for o in range(310) if o in offsets(one)} == one
    assert set(offsets(one).above(100)) == {offset for offset in one if offset >= 100}


@given(st.integers(0, 2**60), OFFSETS, CLAIMS)
def test_what_fits_comes_back_as_it_was(base: int, finished: set[int], claim: str | None) -> None:
    marked = bookmark(base, finished, claim)
    assert decode(base, encode(marked)) == marked


@given(st.integers(0, 2**40), st.sets(st.integers(0, 5000), min_size=50, max_size=400), st.integers(120, 400))
def test_what_does_not_fit_is_cut_to_the_lowest_offsets(base: int, finished: set[int], limit: int) -> None:
    marked = bookmark(base, finished, "claim")
    metadata = encode(marked, limit)
    assert len(metadata.encode()) <= limit
    kept = decode(base, metadata)
    assert (kept.offset, kept.claim, kept.claim_known) == (base, "claim", True)
    assert kept.finished.ranges == marked.finished.ranges[: len(kept.finished.ranges)]
    assert kept.finished.ranges


def test_every_other_one_of_two_thousand_records_fits() -> None:
    marked = Bookmark(0, Offsets(tuple((n, n + 1) for n in range(1, 2000, 2))), "c" * 36)
    assert len(encode(marked)) <= METADATA_LIMIT
    assert decode(0, encode(marked)) == marked


def test_a_million_records_behind_one_slow_key_cost_next_to_nothing() -> None:
    assert len(encode(Bookmark(7, Offsets(((8, 1_000_008),))))) < 60


def test_a_claim_too_long_to_carry_is_left_to_be_looked_up() -> None:
    back = decode(3, encode(Bookmark(3, Offsets(((5, 6),)), "x" * 5000)))
    assert back == Bookmark(3, Offsets(((5, 6),)), None, claim_known=False)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "some other client's words",
        "[" * 5000,
        "[1]",
        "{}",
        '{"clew":2,"claim":null,"finished":""}',
        '{"clew":1,"claim":7,"finished":""}',
        '{"clew":1,"claim":null,"finished":["1"]}',
        '{"clew":1,"claim":null,"finished":"not base 85 \\u00e9"}',
        '{"clew":1,"claim":null,"finished":"0000000000"}',
    ],
)
def test_metadata_that_is_not_ours_says_nothing(metadata: str | None) -> None:
    assert decode(9, metadata) == Bookmark(9, claim_known=False)


@given(OFFSETS.filter(bool), st.data())
def test_damaged_metadata_never_says_that_something_else_is_finished(finished: set[int], data: st.DataObject) -> None:
    marked = bookmark(0, finished, None)
    said = json.loads(encode(marked))
    packed: str = said["finished"]
    at = data.draw(st.integers(0, len(packed) - 1))
    said["finished"] = packed[:at] + data.draw(st.sampled_from("0aZ~")) + packed[at + 1 :]
    assert set(decode(0, json.dumps(said)).finished) in (set[int](), set(marked.finished))
    assert set(decode(0, json.dumps(said | {"finished": packed[:at]})).finished) in (set[int](), set(marked.finished))


@given(st.integers(0, 50), OFFSETS, st.integers(0, 50), OFFSETS)
def test_two_bookmarks_say_together_what_either_says(a: int, one: set[int], b: int, other: set[int]) -> None:
    left, right = bookmark(a, one, "a"), bookmark(b, other, "b")
    both = left | right
    assert both.offset == max(a, b)
    assert both.claim == ("a" if a >= b else "b")
    said = set(left.finished) | set(right.finished)
    assert set(both.finished) == {offset for offset in said if offset >= both.offset}
