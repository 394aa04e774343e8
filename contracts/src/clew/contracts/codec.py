"""Events on the wire: CloudEvents 1.0, Kafka binary binding. Attributes in headers, the model's JSON as the body.

A header `ce_dataref` says that the body is a claim check: the JSON of a `BlobRef` that stands for a body too large
for the log. Fetching it is not done here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from pydantic import ValidationError

from clew.contracts.envelope import Event, Value
from clew.contracts.execution import PartitionClaimed
from clew.contracts.registry import BY_NAME

MAX_BODY = 256 * 1024  # bytes; a larger body is a claim check, so that one record never fills a fetch
Headers = list[tuple[str, bytes]]


class DecodeError(Exception):
    """The record is not an event that can be read; the message says what is wrong with it."""


class UnknownType(DecodeError):
    """A type that this version has never heard of: count it and skip it."""


class UnknownVersion(DecodeError):
    """A known type of a major version that this code cannot read: park it, never guess."""


class Malformed(DecodeError):
    """Headers or body are not what the type says."""


class BlobRef(Value):
    """Where a body lies that was too large for the log. `sha256` in hex, `size` in bytes."""

    key: str
    size: int
    sha256: str


class Wire(NamedTuple):
    """A record's parts as Kafka takes them."""

    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Attributes:
    """A record's headers as text. Unknown ones are kept out; a reader may filter on these without the body."""

    type: str
    id: str
    source: str
    subject: str | None = None
    traceparent: str | None = None
    claim: str | None = None
    supersedes: str | None = None
    dataref: str | None = None


def encode(event: Event, *, source: str, traceparent: str | None = None, claim: str | None = None) -> Wire:
    """The record of an event that `source` (a service) writes. A body over `MAX_BODY` is still whole here.

    A claim carries itself, and the one that it supersedes, in the headers: who follows claims reads no bodies.
    """
    supersedes = None
    if isinstance(event, PartitionClaimed):
        claim, supersedes = event.claim, event.supersedes
    headers = _constant(type(event), source).copy()
    headers.append(("ce_id", str(event.event_id).encode()))
    headers.append(("ce_time", event.occurred_at.isoformat().encode()))
    if (subject := event.subject) is not None:
        headers.append(("ce_subject", subject.encode()))
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    if claim is not None:
        headers.append(("claim", claim.encode()))
    if supersedes is not None:
        headers.append(("supersedes", supersedes.encode()))
    key = event.key
    value = event.__pydantic_serializer__.to_json(event)  # bytes; `model_dump_json` makes text of them first
    return Wire(None if key is None else key.encode(), value, headers)


@cache
def _constant(event: type[Event], source: str) -> Headers:
    """The headers that all events of a type have that one service writes."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", event.ce_type().encode()),
        ("ce_source", source.encode()),
        ("content-type", b"application/json"),
    ]


def check_in(wire: Wire, key: str) -> tuple[Wire, bytes]:
    """The claim check for a large record, and the bytes to store under `key` before it is sent."""
    ref = BlobRef(key=key, size=len(wire.value), sha256=sha256(wire.value).hexdigest())
    headers = [*wire.headers, ("ce_dataref", key.encode())]
    return Wire(wire.key, ref.model_dump_json().encode(), headers), wire.value


def redeem(ref: BlobRef, blob: bytes) -> bytes:
    """The body for a claim check. Malformed when the stored bytes are not the ones that were checked in."""
    if len(blob) != ref.size or sha256(blob).hexdigest() != ref.sha256:
        raise Malformed(f"blob {ref.key} is not what was stored: expected {ref.size} bytes, sha256 {ref.sha256}")
    return blob


def attributes(headers: Iterable[tuple[str, bytes | None]]) -> Attributes:
    """The CloudEvents attributes of a record. Malformed names the header that is missing or is not UTF-8."""
    text: dict[str, str] = {}
    for name, raw in headers:
        try:
            text[name] = "" if raw is None else raw.decode()
        except UnicodeDecodeError:
            raise Malformed(f"header {name!r} is not UTF-8") from None
    for required in ("ce_type", "ce_id", "ce_source"):
        if not text.get(required):
            raise Malformed(f"header {required!r} is missing")
    return Attributes(
        type=text["ce_type"],
        id=text["ce_id"],
        source=text["ce_source"],
        subject=text.get("ce_subject"),
        traceparent=text.get("traceparent"),
        claim=text.get("claim"),
        supersedes=text.get("supersedes"),
        dataref=text.get("ce_dataref"),
    )


def event_class(ce_type: str) -> type[Event]:
    """The model of a type such as `clew.plan-created.v1`. UnknownType and UnknownVersion say what is not known."""
    prefix, _, rest = ce_type.partition(".")
    name, _, version = rest.partition(".v")
    known = BY_NAME.get(name)
    if prefix != "clew" or known is None:
        raise UnknownType(f"type {ce_type!r} is not known here")
    if version != str(known.VERSION):
        raise UnknownVersion(f"type {ce_type!r}: only version {known.VERSION} can be read here")
    return known


def decode(attrs: Attributes, body: bytes | None) -> Event:
    """The event of a record whose body is at hand. Fields that this version does not know are ignored."""
    model = event_class(attrs.type)
    if body is None:
        raise Malformed(f"{attrs.type}: the record has no value")
    try:
        event = model.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Malformed(f"{attrs.type}: {where}: {first['msg']}") from error
    if str(event.event_id) != attrs.id:
        raise Malformed(f"{attrs.type}: header ce_id {attrs.id!r} is not the body's event_id {event.event_id}")
    return event


def blob_ref(body: bytes | None) -> BlobRef:
    """The claim check in a body. Malformed when it is none."""
    try:
        return BlobRef.model_validate_json(body or b"", extra="ignore")
    except ValidationError as error:
        raise Malformed(f"the body is not a claim check: {error.errors(include_url=False)[0]['msg']}") from error
