"""Writes a record with a header name that is not UTF-8: `python -m tests.support.bad_name BOOTSTRAP TOPIC KEY`.

A program of its own, with `AIOKAFKA_NO_EXTENSIONS=1`: only aiokafka's slow producer can be talked into it.
"""

import asyncio
import sys

from aiokafka import AIOKafkaProducer


class BadName(str):
    """Two bytes on the wire that are no text."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


async def main(bootstrap: str, topic: str, key: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"whatever", key=key.encode(), headers=[(BadName("x"), b"y")])
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
