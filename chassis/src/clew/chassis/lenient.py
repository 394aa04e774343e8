"""Reads records whose header names are not UTF-8, which aiokafka's parser refuses with the whole batch they are in.

Any producer may write such a record, and it would stop every consumer of its partition for ever. Here its batch is read
once more, slowly, with those bytes replaced; the record then goes to the dead letters like any other that has no type.
Leans on the inside of aiokafka (`consumer.fetcher.MemoryRecords`), as its tests watch over.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, cast

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy  # pyright: ignore[reportPrivateUsage]
from aiokafka.record.memory_records import MemoryRecords

LOG_OVERHEAD = 12  # bytes before a batch's own length begins to count: its base offset and that length


class Forgiving(bytearray):
    """Bytes whose text has a replacement character where it is not UTF-8."""

    def __getitem__(self, place: Any) -> Any:  # Any: an index gives an int, a slice gives bytes
        found = cast(Any, super().__getitem__(place))
        return Forgiving(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class LenientBatch:
    """A batch of aiokafka's, which is read again by `slowly` when its own parser gives up."""

    def __init__(self, batch: Any, slowly: Callable[[], Iterator[Any]]) -> None:
        self._batch = batch
        self._slowly = slowly

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            records = list(self._batch)
        except UnicodeDecodeError:
            records = list(self._slowly())
        return iter(records)


class LenientRecords:
    """What a fetch brought of one partition, batch by batch: aiokafka's `MemoryRecords`, but for bad header names."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0
        self._records: Any = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        return self._records.size_in_bytes()

    def has_next(self) -> bool:
        return self._records.has_next()

    def next_batch(self) -> LenientBatch | None:
        batch, start = self._records.next_batch(), self._start
        if batch is None:
            return None
        (length,) = struct.unpack_from(">i", self._data, start + 8)
        self._start = start + LOG_OVERHEAD + length
        return LenientBatch(batch, lambda: _read_slowly(self._data[start : start + LOG_OVERHEAD + length]))


def _read_slowly(data: bytes) -> Iterator[Any]:
    batch = _DefaultRecordBatchPy(bytearray(data))
    batch._maybe_uncompress()  # pyright: ignore[reportPrivateUsage]
    batch._buffer = Forgiving(batch._buffer)  # pyright: ignore[reportPrivateUsage]
    return iter(batch)


def forgive_header_names() -> None:
    """From now on every consumer of this process reads such records."""
    fetcher.MemoryRecords = LenientRecords  # pyright: ignore[reportAttributeAccessIssue]
