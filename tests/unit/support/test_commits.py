"""Commits are read as the broker writes them."""

import struct

from tests.support.commits import RawCommit, parse


def short_string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


KEY = struct.pack(">h", 1) + short_string("group") + short_string("topic") + struct.pack(">i", 3)


def test_a_commit_with_long_compact_metadata() -> None:
    metadata = "x" * 300  # its length plus one, 301, takes two bytes of seven bits
    value = struct.pack(">hqi", 4, 42, -1) + bytes([0x80 | (301 & 0x7F), 301 >> 7]) + metadata.encode()
    value += struct.pack(">q", 1_500) + b"\x00"
    assert parse(KEY, value) == RawCommit(1.5, "group", "topic", 3, 42, metadata)


def test_a_commit_of_an_older_broker() -> None:
    value = struct.pack(">hqi", 3, 42, -1) + short_string("") + struct.pack(">q", 1_500)
    assert parse(KEY, value) == RawCommit(1.5, "group", "topic", 3, 42, "")


def test_what_is_no_commit_is_left_out() -> None:
    assert parse(KEY, None) is None
    assert parse(struct.pack(">h", 2) + short_string("group"), b"\x00\x00") is None
