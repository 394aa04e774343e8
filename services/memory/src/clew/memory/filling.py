"""What fills the tables of a rebuild: this process, or several at once where there is much to read.

Of several each takes its share of the partition numbers, in all topics: what is about one thread has one number
everywhere, so two of them hardly ever write the same row. How far they are stands in the tables, from where they go on
when they are interrupted.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Final, TypeAlias, cast

from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.abc import QueryNoTemplate

from clew.chassis import clock
from clew.chassis.blobs import S3BlobStore
from clew.chassis.garbage import YOUNG_OF_BATCHES, collect_seldom
from clew.chassis.log import LogReader
from clew.chassis.records import Decoder
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.envelope import Event
from clew.memory.app import PROJECTED
from clew.memory.intake import Intake
from clew.memory.metrics import Metrics
from clew.memory.projector import Projector
from clew.memory.settings import Settings
from clew.memory.store import Partition, Store
from clew.views.names import Schemas

LOOK: Final = 0.2  # seconds between two looks at how far the processes are
Ends: TypeAlias = Mapping[Partition, int]
Told: TypeAlias = Callable[[int], None]  # how many records have been projected so far


def shares(ends: Ends, count: int) -> list[Ends]:
    """The partitions of each process; no empty shares."""
    found = [{place: end for place, end in ends.items() if place[1] % count == number} for number in range(count)]
    return [share for share in found if share]


@asynccontextmanager
async def projector(
    settings: Settings, schemas: Schemas, projected: Callable[[Sequence[Event]], None]
) -> AsyncGenerator[Projector]:
    """A projector into these schemas that tells nobody else what it projects."""
    log, metrics = LogReader(settings), Metrics(CollectorRegistry())
    intake = Intake(Decoder(S3BlobStore(settings)).event, _parked_already, clock.now, metrics)

    async def count(events: Sequence[Event]) -> None:
        projected(events)

    async with Store(settings.database_url.get_secret_value(), schemas) as store:
        yield Projector(store, log, intake, count, PROJECTED, clock.now, metrics)


async def fill(settings: Settings, schemas: Schemas, ends: Ends, told: Told) -> None:
    """Fills the tables up to these offsets, in this process."""
    done = 0

    def count(events: Sequence[Event]) -> None:
        nonlocal done
        done += len(events)
        told(done)

    async with projector(settings, schemas, count) as filling:
        await filling.fill(ends)


async def fill_apart(settings: Settings, schemas: Schemas, parts: Sequence[Ends], told: Told) -> None:
    """The same by a process for each of `parts`. Raises what one of them raised, when all have ended."""
    url = settings.database_url.get_secret_value()
    with ProcessPoolExecutor(len(parts), mp_context=get_context("spawn")) as pool:
        async with await AsyncConnection.connect(url, autocommit=True) as looking:
            before = await _offsets(looking, schemas)
            loop = asyncio.get_running_loop()
            work = [loop.run_in_executor(pool, _fill_part, settings, schemas, part) for part in parts]
            while not all(part.done() for part in work):
                await asyncio.wait(work, timeout=LOOK)
                told(await _offsets(looking, schemas) - before)
            await asyncio.gather(*work)


def _fill_part(settings: Settings, schemas: Schemas, ends: Ends) -> None:
    collect_seldom(YOUNG_OF_BATCHES)
    asyncio.run(fill(settings, schemas, ends, lambda done: None))


async def _offsets(connection: AsyncConnection, schemas: Schemas) -> int:
    query = f"SELECT coalesce(sum(next_offset), 0)::bigint FROM {schemas.tables}.offsets"
    row = await (await connection.execute(cast(QueryNoTemplate, query))).fetchone()
    return 0 if row is None else int(row[0])


async def _parked_already(letter: RecordDeadLettered) -> None:
    """The live projector has parked the record; a second dead letter would say nothing new."""
