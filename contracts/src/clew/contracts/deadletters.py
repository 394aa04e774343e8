"""Records that a service could not take in, kept as they were."""

from base64 import b64decode, b64encode
from typing import Literal

from pydantic import Field

from clew.contracts.envelope import Event, Position, Text, Timestamp, Value


class RawHeader(Value):
    """A header as it was; its value in base64."""

    name: Text
    value: Text | None = None


class RecordDeadLettered(Event):
    """A record that cannot be decoded or that a handler rejected. Key, value and header values are base64."""

    service: Text
    topic: Text
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    recorded_at: Timestamp
    reason: Text
    detail: Text
    record_key: Text | None = None
    record_value: Text | None = None
    record_headers: tuple[RawHeader, ...] = ()
    run_id: Text | None = None

    @property
    def key(self) -> str | None:
        return self.record_key

    @property
    def subject(self) -> str | None:
        return self.run_id


class DeadLetterResolved(Event):
    """An operator has dealt with the dead letters about one record: written again at `redriven_to`, or dropped.

    The letter itself stays as it was. `edited`: the record was mended before it was written again.
    """

    topic: Text
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    action: Literal["redriven", "dropped"]
    redriven_to: Position | None = None
    edited: bool = False
    resolved_by: Text
    note: Text | None = None


def to_base64(raw: bytes | None) -> str | None:
    return None if raw is None else b64encode(raw).decode()


def from_base64(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
