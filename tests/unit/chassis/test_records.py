"""Records as Kafka may hand them over, whoever wrote them."""

from datetime import UTC, datetime

import pytest
from aiokafka import ConsumerRecord

from clew.chassis.records import EPOCH, from_kafka


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
