"""The short way from a record to its event takes what the long way takes, and makes the same of it."""

import json
from collections.abc import Callable

import pytest

from clew.chassis.records import EPOCH, Record
from clew.contracts import codec
from clew.memory.decoding import decoded, misplaced
from tests.support.story import Story

ASKED = Story().asked("a")
Headers = list[tuple[str, bytes]]
Change = Callable[[Record], Record]


def record() -> Record:
    wire = codec.encode(ASKED, source="gateway")
    return Record("user-messages", 0, 0, EPOCH, wire.key, wire.value, wire.headers)


def same(record: Record) -> Record:
    return record


def with_value(value: bytes | None) -> Change:
    return lambda record: record._replace(value=value)


def in_topic(topic: str) -> Change:
    return lambda record: record._replace(topic=topic)


def headers(change: Callable[[Headers], Headers]) -> Change:
    return lambda record: record._replace(headers=change(list(record.headers)))


def header(name: str, value: object) -> Change:
    return headers(lambda given: [(n, value if n == name else v) for n, v in given])  # type: ignore[misc]  # may be None


def body(**fields: object) -> Change:
    return lambda record: record._replace(value=json.dumps({**json.loads(record.value or b""), **fields}).encode())


@pytest.mark.parametrize("change", [same, body(unheard_of=1), headers(lambda given: given[::-1])])
def test_what_our_services_write_goes_the_short_way(change: Change) -> None:
    assert decoded(change(record()))[1:] == (ASKED, None)


def test_under_which_claim_a_record_was_written_is_read_with_it() -> None:
    claimed = headers(lambda given: [*given, ("claim", b"c1")])(record())
    assert decoded(claimed) == (claimed, ASKED, b"c1")


@pytest.mark.parametrize(
    "change",
    [
        header("ce_id", b"00000000-0000-0000-0000-000000000000"),
        header("ce_id", str(ASKED.event_id).upper().encode()),
        header("ce_id", ASKED.event_id.hex.encode()),
        header("ce_type", b"clew.user-message-received.v2"),
        header("ce_type", b"clew.unheard-of.v1"),
        header("ce_source", b""),
        header("ce_source", None),
        header("ce_time", b"\xff"),
        headers(lambda given: [("ce_time", b"\xff"), *given]),
        headers(lambda given: [h for h in given if h[0] != "ce_id"]),
        headers(lambda given: [*given, ("ce_dataref", b"somewhere")]),
        body(seq=1),
        body(run_id="no id"),
        with_value(None),
        with_value(b"{"),
        in_topic("plans"),
    ],
)
def test_what_the_long_way_refuses_does_not_go_the_short_way(change: Change) -> None:
    changed = change(record())
    assert decoded(changed) == (changed, None, None)
    if changed.topic == "user-messages" and not any(name == "ce_dataref" for name, _ in changed.headers):
        with pytest.raises((codec.DecodeError, _Misplaced)):
            the_long_way(changed)


class _Misplaced(Exception):
    """It has no place in its topic."""


def the_long_way(record: Record) -> None:
    event = codec.decode(codec.attributes(record.headers), record.value)
    if misplaced(event, record.topic):
        raise _Misplaced
