"""Batches with a header name that is not UTF-8; and the seam in aiokafka that reading them leans on."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import (
    _DefaultRecordBatchBuilderPy,  # pyright: ignore[reportPrivateUsage]  # makes what no client of ours would send
)
from aiokafka.record.memory_records import MemoryRecords

from clew.chassis.lenient import LenientRecords, forgive_header_names
from tests.support.bad_name import BadName


def batch(*names: str) -> bytes:
    """A batch with a record for each name of a header."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=10_000,
    )
    for n, name in enumerate(names):
        builder.append(n, 1000 + n, b"key %d" % n, b"value %d" % n, [(name, b"header \xff")])
    return bytes(builder.build())


def read(data: bytes) -> list[Any]:
    records, found = LenientRecords(data), list[Any]()
    while records.has_next():
        found += records.next_batch() or []
    return found


def test_aiokafka_refuses_a_whole_batch_for_one_name() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(batch("fine", BadName("x"))).next_batch() or [])


def test_a_batch_with_a_bad_name_is_read_whole_and_so_are_its_neighbours() -> None:
    found = read(batch("fine") + batch("fine", BadName("x"), "fine") + batch("fine"))
    assert [(record.offset, record.key, record.value) for record in found] == [
        (n, b"key %d" % n, b"value %d" % n) for n in (0, 0, 1, 2, 0)
    ]
    assert [record.headers for record in found] == [
        [(name, b"header \xff")] for name in ("fine", "fine", "\ufffd\ufffd", "fine", "fine")
    ]


def test_a_good_batch_keeps_what_aiokafka_says_of_it() -> None:
    records, plain = LenientRecords(batch("fine")), MemoryRecords(batch("fine"))
    ours, theirs = records.next_batch(), plain.next_batch()
    assert ours is not None
    assert theirs is not None
    assert ours.validate_crc()
    assert ours.next_offset == theirs.next_offset == 1
    assert records.size_in_bytes() == plain.size_in_bytes()


def test_the_fetcher_takes_its_records_from_where_we_put_ours() -> None:
    assert isinstance(fetcher.MemoryRecords, type)
    forgive_header_names()
    assert fetcher.MemoryRecords is LenientRecords
