"""What a declaration becomes in the object store, and which parts make a whole."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.contracts.documents import document_folder
from clew.gateway.files import Arrived, Declared, Place, Upload, faults, parse_place

FOLDER = document_folder("acme", UUID(int=1))
PLACE = Place(FOLDER, size=25, part_size=10, digest="0" * 32)
UPLOAD = Upload(PLACE, "u", tuple(Arrived(number, f"e{number}", size) for number, size in ((1, 10), (2, 10), (3, 5))))
FACTS = st.builds(
    Declared,
    filename=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    content_type=st.sampled_from(["text/plain", "text/markdown"]),
    size=st.integers(1, 10**12),
    part_size=st.integers(1, 10**10),
    sha256=st.none() | st.just("ab" * 32),
    principal=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
)


@given(FACTS)
def test_metadata_is_ascii_whatever_a_file_is_called(declared: Declared) -> None:
    assert all(text.isascii() and text.isprintable() for text in declared.headers.values())


@given(FACTS)
def test_an_object_key_says_what_it_was_made_of(declared: Declared) -> None:
    place = Place(FOLDER, declared.size, declared.part_size, declared.digest)
    assert parse_place(place.key) == place
    assert place.part_count * declared.part_size >= declared.size > (place.part_count - 1) * declared.part_size


@given(FACTS, FACTS)
def test_two_declarations_have_one_digest_only_when_they_say_the_same(one: Declared, other: Declared) -> None:
    same = [(d.filename, d.content_type, d.size, d.part_size, d.sha256) for d in (one, other)]
    assert (one.digest == other.digest) == (same[0] == same[1])


@pytest.mark.parametrize("key", [None, "", FOLDER, FOLDER + "deleted", FOLDER + "1-2-xyz", FOLDER + "-1-2-" + "0" * 32])
def test_other_keys_are_no_places(key: str | None) -> None:
    assert parse_place(key) is None


def test_all_parts_that_arrived_are_a_whole_in_any_order() -> None:
    assert list(faults(UPLOAD, [(3, "e3"), (1, "e1"), (2, "e2")])) == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(1, "e1"), (2, "e2")], [(None, "parts are missing: 3")]),
        ([(1, "e1"), (2, "xx"), (3, "e3")], [(1, "part 2 arrived with the etag e2")]),
        ([(1, "e1"), (2, "e2"), (2, "e2"), (3, "e3")], [(2, "part 2 is named twice")]),
        ([(1, "e1"), (2, "e2"), (3, "e3"), (4, "e4")], [(3, "part 4 has not arrived")]),
        ([(0, "e1")], [(0, "part 0 has not arrived"), (None, "parts are missing: 1, 2, 3")]),
    ],
)
def test_each_fault_is_named_with_its_place(
    parts: list[tuple[int, str]], expected: list[tuple[int | None, str]]
) -> None:
    assert list(faults(UPLOAD, parts)) == expected


def test_parts_of_another_size_than_declared_are_no_whole() -> None:
    upload = Upload(PLACE, "u", (*UPLOAD.arrived[:2], Arrived(3, "e3", 6)))
    parts = [(part.number, part.etag) for part in upload.arrived]
    assert list(faults(upload, parts)) == [(None, "the parts hold 26 bytes, 25 were declared")]
