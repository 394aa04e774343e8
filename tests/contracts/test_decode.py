"""Records that are not events: each is told apart, and none is guessed at."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.contracts.codec import (
    Attributes,
    BlobRef,
    DecodeError,
    Malformed,
    UnknownType,
    UnknownVersion,
    attributes,
    blob_ref,
    check_in,
    decode,
    encode,
    event_class,
    redeem,
)
from clew.contracts.conversation import TextPart, UserMessageReceived
from clew.contracts.envelope import root_stamp
from clew.contracts.registry import EVENTS

ID = UUID("0ba238f6-ecde-5c9f-a84e-a61a6f60dcf6")
EVENT = UserMessageReceived(
    **root_stamp(ID, "acme", datetime(2026, 3, 2, tzinfo=UTC)),
    thread_id=ID,
    run_id=ID,
    seq=0,
    message_id=ID,
    content=(TextPart(text="hello"),),
    sent_by="ada",
)
WIRE = encode(EVENT, source="gateway", claim="c")
ATTRIBUTES = attributes(WIRE.headers)
BRIEF = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def body(**changes: Any) -> bytes:
    return json.dumps({**json.loads(WIRE.value), **changes}).encode()


@pytest.mark.parametrize("name", ["ce_type", "ce_id", "ce_source"])
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(Malformed, match=name):
        attributes([header for header in WIRE.headers if header[0] != name])


@pytest.mark.parametrize("raw", [b"", None])
def test_an_empty_header_counts_as_missing(raw: bytes | None) -> None:
    with pytest.raises(Malformed, match="ce_type"):
        attributes([*WIRE.headers, ("ce_type", raw)])


def test_a_header_that_is_not_utf8_is_named_even_when_nobody_asks_for_it() -> None:
    with pytest.raises(Malformed, match="x-odd"):
        attributes([*WIRE.headers, ("x-odd", b"\xff\xfe")])


def test_unknown_headers_are_left_alone() -> None:
    assert attributes([*WIRE.headers, ("x-new", b"1"), ("x-null", None)]) == ATTRIBUTES


@pytest.mark.parametrize(
    "name", ["clew.never-heard-of.v1", "other.plan-created.v1", "plan-created.v1", "clew", "", "."]
)
def test_a_type_that_nobody_here_knows_is_an_unknown_type(name: str) -> None:
    with pytest.raises(UnknownType):
        event_class(name)


@pytest.mark.parametrize("version", ["2", "0", "01", "1.1", "", "x", "1 "])
def test_a_known_type_of_another_version_is_never_guessed_at(version: str) -> None:
    with pytest.raises(UnknownVersion, match="version 1"):
        event_class(f"clew.plan-created.v{version}")


def test_a_known_type_without_a_version_is_never_guessed_at() -> None:
    with pytest.raises(UnknownVersion):
        event_class("clew.plan-created")


def test_every_type_leads_to_its_class() -> None:
    assert [event_class(event.ce_type()) for event in EVENTS] == list(EVENTS)


def test_a_null_value_is_malformed() -> None:
    with pytest.raises(Malformed, match="no value"):
        decode(ATTRIBUTES, None)


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{}", b"\xff\xfe\x00", b'{"event_id":', b"[" * 100_000, b"1e999"]
)
def test_bytes_that_are_no_event_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode(ATTRIBUTES, raw)


@given(st.binary(), st.sampled_from(EVENTS))
@BRIEF
def test_garbage_never_raises_anything_but_a_decode_error(raw: bytes, event: type[Any]) -> None:
    with pytest.raises(DecodeError):
        decode(Attributes(type=event.ce_type(), id=str(ID), source="x"), raw)


@given(st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=12)), max_size=5))
@BRIEF
def test_garbage_headers_never_raise_anything_but_a_decode_error(headers: list[tuple[str, bytes | None]]) -> None:
    with pytest.raises(DecodeError):
        attributes(headers)


@given(st.integers(0, len(WIRE.value) - 1), st.integers(0, 255))
@BRIEF
def test_a_flipped_byte_gives_an_event_or_a_decode_error(place: int, byte: int) -> None:
    try:
        event = decode(ATTRIBUTES, WIRE.value[:place] + bytes([byte]) + WIRE.value[place + 1 :])
    except DecodeError:
        return
    assert event.event_id == ID


def test_header_and_body_must_be_about_the_same_event() -> None:
    other = UUID("11111111-1111-5111-8111-111111111111")
    with pytest.raises(Malformed, match="ce_id"):
        decode(ATTRIBUTES, body(event_id=str(other), correlation_id=str(other)))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tenant_id": "Not A Tenant"}, "tenant_id"),
        ({"tenant_id": "acme\n"}, "tenant_id"),
        ({"seq": "0"}, "seq"),
        ({"seq": -1}, "seq"),
        ({"seq": True}, "seq"),
        ({"occurred_at": "2026-03-02T09:30:00"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+01:00"}, "occurred_at"),
        ({"content": []}, "content"),
        ({"content": [{"type": "telepathy"}]}, "content.0"),
        ({"on_busy": "panic"}, "on_busy"),
        ({"sent_by": None}, "sent_by"),
    ],
)
def test_a_field_that_is_not_what_the_type_says_is_named(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(Malformed, match=rf"clew\.user-message-received\.v1: {where}"):
        decode(ATTRIBUTES, body(**changes))


def test_a_lone_surrogate_in_a_body_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode(ATTRIBUTES, body(sent_by="\ud800"))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_json_lacks_are_malformed(number: bytes) -> None:
    event = event_class("clew.thread-created.v1")
    raw = (
        b'{"event_id":"%s","tenant_id":"a","occurred_at":"2026-03-02T09:30:00Z","correlation_id":"%s","thread_id":"%s",'
    )
    raw = raw % ((str(ID).encode(),) * 3) + b'"created_by":"a","metadata":{"a":%s}}' % number
    with pytest.raises(Malformed, match="metadata"):
        decode(Attributes(type=event.ce_type(), id=str(ID), source="x"), raw)


def test_a_claim_check_brings_the_body_back() -> None:
    ticket, stored = check_in(WIRE, "acme/blobs/1")
    attrs = attributes(ticket.headers)
    assert attrs.dataref == "acme/blobs/1"
    assert (ticket.key, stored) == (WIRE.key, WIRE.value)
    assert decode(attrs, redeem(blob_ref(ticket.value), stored)) == EVENT


@given(st.binary(max_size=400))
@BRIEF
def test_other_bytes_than_those_checked_in_are_refused(blob: bytes) -> None:
    ticket, _ = check_in(WIRE, "k")
    with pytest.raises(Malformed, match="not what was stored"):
        redeem(blob_ref(ticket.value), blob)


@pytest.mark.parametrize("change", [{"size": 1}, {"sha256": "0" * 64}])
def test_a_claim_check_that_was_tampered_with_is_refused(change: dict[str, Any]) -> None:
    ticket, stored = check_in(WIRE, "k")
    ref = BlobRef.model_validate({**json.loads(ticket.value), **change})
    with pytest.raises(Malformed, match="not what was stored"):
        redeem(ref, stored)


@pytest.mark.parametrize("raw", [None, b"", b"{}", WIRE.value, b"\xff"])
def test_what_is_no_claim_check_is_malformed(raw: bytes | None) -> None:
    with pytest.raises(Malformed, match="not a claim check"):
        blob_ref(raw)


def test_a_claim_check_is_not_taken_for_the_event_itself() -> None:
    ticket, _ = check_in(WIRE, "k")
    with pytest.raises(Malformed):
        decode(attributes(ticket.headers), ticket.value)
