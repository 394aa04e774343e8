"""Writing a dead letter's record again, once: to its topic, with its key and cause, at most so many a second.

A record that was written again is recognised by its header, so a redrive that was cut off goes on where it was.
"""

# aiokafka is typed in part only.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from clew.chassis import clock
from clew.chassis.blobs import S3BlobStore
from clew.chassis.claims import CLAIMED_TOPIC, Claims
from clew.chassis.publish import Publisher
from clew.chassis.records import Decoder, Record
from clew.chassis.settings import ServiceSettings
from clew.contracts.codec import DecodeError
from clew.contracts.deadletters import DeadLetterResolved
from clew.contracts.envelope import ID_NAMESPACE, SYSTEM_TENANT, Event, Position, derive, root_stamp
from clew.ops.letters import REDRIVE_OF, Letter, letters
from clew.ops.log import up_to_now


async def all_letters(where: ServiceSettings) -> list[Letter]:
    """Every letter in the log, with what was done about it."""
    decoder = Decoder(S3BlobStore(where))
    events: list[Event] = []
    async for record in up_to_now(where, ["dead-letters"], None):
        try:
            events.append(await decoder.event(record))
        except DecodeError:
            continue  # `clew events` shows it; there is nothing in it that could be written again
    return letters(events)


@dataclass(frozen=True)
class Redriver:
    """Writes as `by`. Made by `redriver`."""

    where: ServiceSettings
    producer: AIOKafkaProducer
    publisher: Publisher
    by: str

    async def redrive(self, letter: Letter, body: bytes | None = None) -> Position:
        """Where the record is now. It is written only if it is not there yet."""
        position = await self._written(letter)
        if position is None:
            claim = await self._claim(letter)
            value, headers = letter.again(body, claim)
            sent = await self.producer.send_and_wait(
                self.where.in_namespace(letter.event.topic),
                value,
                key=letter.key,
                partition=letter.event.partition,
                headers=headers,
            )
            position = Position(topic=letter.event.topic, partition=sent.partition, offset=sent.offset)
        await self.resolve(letter, position, edited=body is not None)
        return position

    async def resolve(
        self, letter: Letter, position: Position | None, *, edited: bool = False, note: str | None = None
    ) -> None:
        """Says what was done about a letter; without a position, that it was dropped."""
        topic, partition, offset = letter.place
        event_id = derive(ID_NAMESPACE, "dead-letter-resolved", topic, partition, offset)
        await self.publisher.publish(
            DeadLetterResolved(
                **root_stamp(event_id, SYSTEM_TENANT, clock.now()),
                topic=topic,
                partition=partition,
                offset=offset,
                action="dropped" if position is None else "redriven",
                redriven_to=position,
                edited=edited,
                resolved_by=self.by,
                note=note,
            )
        )

    async def _written(self, letter: Letter) -> Position | None:
        """Where a redrive that was cut off has put the record."""
        async for record in self._since(letter):
            if dict(record.headers).get(REDRIVE_OF) == letter.id.encode():
                return record.position
        return None

    async def _claim(self, letter: Letter) -> str | None:
        """The claim in force, for a record that counts only under one."""
        if letter.event.topic != CLAIMED_TOPIC:
            return None
        claims = Claims()
        async for record in up_to_now(self.where, [CLAIMED_TOPIC], None):
            if record.partition == letter.event.partition:
                claims.counts(record.headers)
        return claims.in_force

    async def _since(self, letter: Letter) -> AsyncGenerator[Record]:
        async for record in up_to_now(self.where, [letter.event.topic], letter.event.occurred_at):
            if record.partition == letter.event.partition:
                yield record


@asynccontextmanager
async def redriver(where: ServiceSettings, by: str) -> AsyncGenerator[Redriver]:
    producer = AIOKafkaProducer(**where.client(), acks="all", enable_idempotence=True, linger_ms=0)
    await producer.start()
    try:
        async with Publisher("operator", where, S3BlobStore(where)) as publisher:
            yield Redriver(where, producer, publisher, by)
    finally:
        await producer.stop()
