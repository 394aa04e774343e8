"""What an acknowledgement that does not come says of the producer. The broker's part is in the component tests."""

import asyncio

import pytest
from aiokafka.errors import KafkaError, NotEnoughReplicasError, OutOfOrderSequenceNumber
from aiokafka.structs import RecordMetadata

from clew.chassis.errors import AckTimeout
from clew.chassis.publish import Ack


def refused(error: KafkaError) -> "asyncio.Future[RecordMetadata]":
    future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


@pytest.mark.parametrize(
    ("error", "over"), [(OutOfOrderSequenceNumber(), True), (NotEnoughReplicasError(), False), (KafkaError(), False)]
)
async def test_a_record_refused_out_of_sequence_is_the_end_of_its_producer(error: KafkaError, over: bool) -> None:
    awaited, asked = asyncio.Event(), asyncio.Event()
    with pytest.raises(AckTimeout):
        await Ack("plans", refused(error), awaited)
    with pytest.raises(AckTimeout):
        Ack("plans", refused(error), asked).result()
    assert (awaited.is_set(), asked.is_set()) == (over, over)
