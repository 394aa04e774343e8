"""What the cache of histories makes of bytes and names that it did not write."""

from uuid import UUID

import pytest

from clew.views.history import Wanted, opened, sealed

THREAD = UUID(int=1)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_first_page_of_the_newest_branch_is_known_by_its_name(newest_first: bool) -> None:
    wanted = Wanted(THREAD, None, None, 200, newest_first)
    assert Wanted.first(THREAD, wanted.name) == wanted


@pytest.mark.parametrize(
    "name",
    [
        Wanted(THREAD, UUID(int=2), None, 50, False).name,
        Wanted(THREAD, None, "abc", 50, False).name,
        "",
        "::50",
        "::50:asc:whole",
        "::many:asc",
        "::50:up",
        "::\N{ARABIC-INDIC DIGIT FIVE}0:asc",
    ],
)
def test_other_names_are_no_first_pages_whoever_gave_them(name: str) -> None:
    assert Wanted.first(THREAD, name) is None


@pytest.mark.parametrize(
    "kept",
    [
        b'{"version":7,"items":[],"next":null}',  # as it was before pages were kept as bytes
        b'7\n{"items":[],"next":null}',
        b"",
        b"\n\n",
        sealed(7, b"{}")[:-1],
        sealed(7, b"{}").replace(b"\n7\n", b"\n8\n"),
    ],
)
def test_what_was_not_sealed_is_not_opened(kept: bytes) -> None:
    assert opened(sealed(7, b"{}")) == (7, b"{}")
    with pytest.raises(ValueError, match="checksum"):
        opened(kept)
