"""Records as Kafka may hand them over, whoever wrote them."""

from datetime import UTC, datetime

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.chassis.publish import blob_key
from clew.chassis.records import EPOCH, from_kafka, tenant_of
from clew.contracts.codec import check_in, encode
from clew.contracts.envelope import Event
from clew.contracts.registry import EVENTS
from tests.support.events import events


@pytest.mark.parametrize(
    ("milliseconds", "moment"),
    [
        (1_500, datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (-(10**15), EPOCH),
        (2**63 - 1, EPOCH),
        (-(2**63), EPOCH),
    ],
)
def test_a_timestamp_in_no_year_stops_no_reader(milliseconds: int, moment: datetime) -> None:
    raw = ConsumerRecord[bytes | None, bytes | None](
        topic="ns.plans",
        partition=0,
        offset=1,
        timestamp=milliseconds,
        timestamp_type=0,
        key=None,
        value=b"",
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=0,
        headers=(),
    )
    record = from_kafka(raw, "ns")
    assert (record.topic, record.timestamp) == ("plans", moment)


@settings(max_examples=60)
@given(st.sampled_from(EVENTS).flatmap(events))
def test_every_record_says_whose_turn_it_takes(event: Event) -> None:
    wire = encode(event, source="gateway")
    checked = [check_in(wire, blob_key(namespace, event))[0] for namespace in ("", "n" * 20)]
    assert [tenant_of(record.value) for record in (wire, *checked)] == [event.tenant_id] * 3


@pytest.mark.parametrize("value", [None, b"", b"{", b'{"tenant_id":"No Tenant"}', b"x" * 300 + b'"tenant_id":"t1"'])
def test_what_does_not_say_whose_it_is_is_nobodys(value: bytes | None) -> None:
    assert tenant_of(value) == ""
