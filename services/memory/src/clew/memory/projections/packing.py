"""Columns as Postgres takes arrays on the wire, in its binary format: one parameter a column, however many rows.

psycopg would write the same arrays an element at a time in Python; half of a projector's time would go there.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.errors import NumericValueOutOfRange
from psycopg.pq import Format

Encode: TypeAlias = Callable[[Any], bytes]  # an element with its length before it
SHORT: Final = 24  # characters
_NULL: Final = struct.pack("!i", -1)
_LENGTH: Final = struct.Struct("!i").pack
_UUID: Final = struct.pack("!i", 16)
_INT: Final = struct.Struct("!ii").pack
_BIGINT: Final = struct.Struct("!iq").pack
_FLOAT: Final = struct.Struct("!id").pack
_HEADER: Final = struct.Struct("!iiIii").pack  # dimensions, nulls, element type, length, lower bound
_FALSE, _TRUE = b"\x00\x00\x00\x01\x00", b"\x00\x00\x00\x01\x01"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # Postgres'


@dataclass(frozen=True, slots=True)
class BinaryArray:
    """A whole array parameter in binary; the statement says its type."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TextArray:
    """The same as text, for the one type whose binary format is not worth writing."""

    data: bytes


class BinaryArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj.data


class TextArrayDumper(Dumper):
    format = Format.TEXT

    def dump(self, obj: TextArray) -> Buffer:
        return obj.data


def pack(sql_type: str, values: Sequence[object]) -> BinaryArray | TextArray:
    """The array of a column. NumericValueOutOfRange for a number that its type does not hold."""
    if sql_type == "NUMERIC":
        return TextArray(("{" + ",".join("NULL" if v is None else str(v) for v in values) + "}").encode())
    oid, encode = _TYPES[sql_type]
    try:
        elements = b"".join([_NULL if value is None else encode(value) for value in values])
    except struct.error as error:
        raise NumericValueOutOfRange(f"{sql_type}: {error}") from error
    return BinaryArray(_HEADER(1, 1, oid, len(values), 1) + elements)


def _uuid(value: UUID) -> bytes:
    return _UUID + value.int.to_bytes(16, "big")


def _text(value: str) -> bytes:
    return _short_text(value) if len(value) < SHORT else _long_text(value)


def _long_text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH(len(data)) + data


_short_text = lru_cache(maxsize=4096)(_long_text)  # names and states, the same ones over and over


def _json(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return _LENGTH(len(data)) + data


def _moment(value: datetime) -> bytes:
    since = value - _EPOCH
    return _BIGINT(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


_TYPES: Final[dict[str, tuple[int, Encode]]] = {
    "UUID": (2950, _uuid),
    "TEXT": (25, _text),
    "JSON": (114, _json),
    "INTEGER": (23, lambda value: _INT(4, value)),
    "BIGINT": (20, lambda value: _BIGINT(8, value)),
    "FLOAT": (701, lambda value: _FLOAT(8, value)),
    "BOOLEAN": (16, lambda value: _TRUE if value else _FALSE),
    "TIMESTAMP WITH TIME ZONE": (1184, _moment),
}
