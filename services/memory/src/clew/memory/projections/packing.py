"""Columns as Postgres takes arrays on the wire, in its binary format: one parameter a column, however many rows.

psycopg would write the same arrays an element at a time in Python; half of a projector's time would go there.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.errors import NumericValueOutOfRange
from psycopg.pq import Format

Column: TypeAlias = Sequence[Any]  # values of one type, and None
_NULL: Final = struct.pack("!i", -1)
_LENGTH: Final = struct.Struct("!i").pack
_UUID: Final = struct.pack("!i", 16)
_INT: Final = struct.Struct("!ii").pack
_BIGINT: Final = struct.Struct("!iq").pack
_FLOAT: Final = struct.Struct("!id").pack
_HEADER: Final = struct.Struct("!iiIii").pack  # dimensions, nulls, element type, length, lower bound
_FALSE, _TRUE = b"\x00\x00\x00\x01\x00", b"\x00\x00\x00\x01\x01"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # Postgres'
_MICROSECOND: Final = timedelta(microseconds=1)


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


def packer(sql_type: str) -> Callable[[Column], BinaryArray | TextArray]:
    """What makes the array of a column of this type; None is null. It raises NumericValueOutOfRange for a number that
    the type does not hold."""
    if sql_type == "NUMERIC":
        return _numerics
    oid, elements = _TYPES[sql_type]

    def pack(values: Column) -> BinaryArray:
        try:
            found = elements(values)
        except struct.error as error:
            raise NumericValueOutOfRange(f"{sql_type}: {error}") from error
        return BinaryArray(b"".join([_HEADER(1, 1, oid, len(values), 1), *found]))

    return pack


# Each of these goes through a whole column, so that an element costs no call in Python.


def _uuids(values: Column) -> list[bytes]:
    return [_NULL if value is None else _UUID + value.int.to_bytes(16, "big") for value in values]


def _texts(values: Column) -> list[bytes]:
    """Names and states, mostly: the same few over and over."""
    packed = {value: _NULL if value is None else _text(value) for value in set(values)}
    return list(map(packed.__getitem__, values))


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH(len(data)) + data


def _jsons(values: Column) -> list[bytes]:
    return [
        _NULL if value is None else _LENGTH(len(value)) + value if type(value) is bytes else _text(value)
        for value in values
    ]


def _moments(values: Column) -> list[bytes]:
    return [_NULL if value is None else _BIGINT(8, (value - _EPOCH) // _MICROSECOND) for value in values]


def _integers(values: Column) -> list[bytes]:
    packed = {value: _NULL if value is None else _INT(4, value) for value in set(values)}
    return list(map(packed.__getitem__, values))


def _bigints(values: Column) -> list[bytes]:
    return [_NULL if value is None else _BIGINT(8, value) for value in values]


def _floats(values: Column) -> list[bytes]:
    return [_NULL if value is None else _FLOAT(8, value) for value in values]


def _booleans(values: Column) -> list[bytes]:
    return [_NULL if value is None else _TRUE if value else _FALSE for value in values]


def _numerics(values: Column) -> TextArray:
    return TextArray(("{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}").encode())


_TYPES: Final[dict[str, tuple[int, Callable[[Column], list[bytes]]]]] = {
    "UUID": (2950, _uuids),
    "TEXT": (25, _texts),
    "JSON": (114, _jsons),
    "INTEGER": (23, _integers),
    "BIGINT": (20, _bigints),
    "FLOAT": (701, _floats),
    "BOOLEAN": (16, _booleans),
    "TIMESTAMP WITH TIME ZONE": (1184, _moments),
}
