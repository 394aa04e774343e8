"""FastStream as the host of the handlers: it builds the consumer from its configuration, and takes each record through
its middleware, filters, decoding and dependency injection to the handler. AsyncAPI is told from the same handlers.

It does not poll, commit or choose what comes next: its own loop takes one record after the other, swallows what
handlers raise, and knows no keys. Leans on FastStream's inside, as the tests of its seams watch over.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord
from faststream import AckPolicy
from faststream._internal.broker.registrator import Registrator
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.kafka.parser import AioKafkaParser
from faststream.kafka.schemas import Topic
from faststream.kafka.subscriber.config import KafkaSubscriberConfig, KafkaSubscriberSpecificationConfig
from faststream.kafka.subscriber.specification import KafkaSubscriberSpecification
from faststream.kafka.subscriber.usecase import DefaultSubscriber
from faststream.message import StreamMessage

from clew.contracts.envelope import Event

Raw: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Decode: TypeAlias = Callable[[Raw], Awaitable[Event]]


class EventParser(AioKafkaParser):
    """Records as FastStream's messages. A handler is given the event; nothing of ours is acknowledged through them."""

    def __init__(self, decode: Decode) -> None:
        super().__init__(KafkaMessage, None)
        self._decode = decode

    # What FastStream's own parser is annotated to return is narrower than what the handlers are given.
    async def parse_message(self, message: Raw) -> Any:
        headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers}
        return KafkaMessage(
            body=message.value or b"",
            headers=headers,
            content_type=headers.get("content-type"),
            message_id=headers.get("ce_id", f"{message.offset}"),
            correlation_id=headers.get("ce_id"),
            raw_message=message,
            consumer=FAKE_CONSUMER,
        )

    async def decode_message(self, msg: "StreamMessage[Raw]") -> Any:
        return await self._decode(msg.raw_message)


class HostedSubscriber(DefaultSubscriber):
    """A subscriber whose records are brought to it by `process_message`, which raises what the handler raises."""

    def __init__(
        self,
        config: KafkaSubscriberConfig,
        specification: KafkaSubscriberSpecification,
        calls: "CallsCollection[Raw]",
        decode: Decode,
    ) -> None:
        super().__init__(config, specification, calls)
        self.parser = EventParser(decode)
        self._parser = self.parser.parse_message
        self._decoder = self.parser.decode_message

    async def _run_consume_loop(self, consumer: AIOKafkaConsumer) -> None:
        """Nothing: whoever made this subscriber polls its consumer."""

    def handle(self, event_type: type[Event], call: Callable[..., Awaitable[None]]) -> None:
        """Registers `call` for the records of one event type."""
        name = event_type.ce_type()

        async def is_of_type(message: "StreamMessage[Raw]") -> bool:
            return message.headers.get("ce_type") == name

        self(call, filter=is_of_type)


def host(
    broker: KafkaBroker,
    topics: Sequence[str],
    group: str,
    listener: ConsumerRebalanceListener | None,
    decode: Decode,
    connection: Mapping[str, Any],
) -> HostedSubscriber:
    """A subscriber of `broker`. `topics` and `group` by their names on the broker; `connection` for the consumer."""
    named = [Topic.validate(topic) for topic in topics]
    calls = CallsCollection[Any]()
    composed = cast(Any, broker.config)  # the composition of the broker's and its routers' stands in for the config
    config = KafkaSubscriberConfig(
        topics=named,
        group_id=group,
        listener=listener,
        connection_args=dict(connection),
        no_reply=True,  # a header of a record must not make us write to a topic of its choice
        _outer_config=composed,
        _ack_policy=AckPolicy.MANUAL,
    )
    about = KafkaSubscriberSpecificationConfig(topics=named, title_=None, description_=None, include_in_schema=True)
    specification = KafkaSubscriberSpecification(_outer_config=composed, calls=calls, specification_config=about)
    subscriber = HostedSubscriber(config, specification, calls, decode)
    Registrator.subscriber(broker, subscriber)
    subscriber.add_call(parser_=None, decoder_=None, dependencies_=())
    return subscriber
