"""Records as they come from Kafka, and how they become events."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from aiokafka import ConsumerRecord

from clew.chassis.blobs import BlobMissing, BlobStore
from clew.contracts import codec
from clew.contracts.envelope import Event, Position

_TENANT = re.compile(rb'(?:"tenant_id":"|"key":"[^"]{0,30}events/)([a-z0-9_-]{1,64})["/]')
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(NamedTuple):
    """A record of the log. `topic` is its name in `topics.yaml`, without the namespace.

    A tuple, because every record of a projector becomes one: it is made in a fourth of a dataclass' time.
    """

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def position(self) -> Position:
        return Position(topic=self.topic, partition=self.partition, offset=self.offset)


def from_kafka(raw: "ConsumerRecord[bytes | None, bytes | None]", namespace: str) -> Record:
    """Kafka's record as ours."""
    topic = _bare(raw.topic, namespace)
    return Record(topic, raw.partition, raw.offset, _moment(raw.timestamp), raw.key, raw.value, raw.headers)


@cache
def _bare(topic: str, namespace: str) -> str:
    return topic.removeprefix(f"{namespace}.") if namespace else topic


def tenant_of(value: bytes | None) -> str:
    """Whose record this is, without decoding it: our events begin with two ids, and a body that lies in the object
    store is kept under its tenant. Empty when it does not say.

    Good enough to take turns by, and for nothing else.
    """
    found = _TENANT.search(value or b"", 0, 200)
    return "" if found is None else found[1].decode()


def _moment(milliseconds: int) -> datetime:
    """When Kafka says that it was. It keeps any number; one that is in no year of ours counts as the epoch."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError):
        return EPOCH


class Decoder:
    """Turns records into events, fetching bodies that lie in the object store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def event(self, record: Record) -> Event:
        """The event of a record. Raises the `DecodeError` family for what can never be read, and whatever the
        object store raises when it is away."""
        attrs = codec.attributes(record.headers)
        body = record.value
        if attrs.dataref is not None:
            codec.event_class(attrs.type)
            ref = codec.blob_ref(body)
            body = codec.redeem(ref, await self._body(ref.key))
        return codec.decode(attrs, body)

    async def _body(self, key: str) -> bytes:
        """A body that was stored before its record was sent: one that is not there now never will be."""
        try:
            return await self._blobs.get(key)
        except BlobMissing as error:
            raise codec.Malformed(f"the body is missing: {error}") from error
