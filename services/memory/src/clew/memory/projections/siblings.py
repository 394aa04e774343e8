"""How many runs were planned to go on from the same place, by the part of the log in which their plans stand.

The number of a message among its siblings is read from it: of the blocks before its own the sums, of its own block the
plans one by one. So a message that was asked again ten thousand times is numbered as fast as any other.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table

from clew.chassis.records import Record
from clew.contracts.planning import PlanCreated
from clew.memory.projections.table import Projected, Projection, by, metadata, tenant, uuid

BLOCK: Final = 1024  # offsets of the plans' partition
TABLE: Final = Table(
    "sibling_blocks",
    metadata,
    uuid("thread_id", key=True),
    uuid("up", key=True),  # the run that they go on from; the thread itself for those that begin it
    Column("behind", BigInteger, primary_key=True, autoincrement=False),  # the first offset that is not in the block
    tenant(),
    Column("planned", Integer, nullable=False, info=by("sum")),
)


def project(event: PlanCreated, record: Record) -> Projected:
    row: dict[str, object] = {
        "thread_id": event.thread_id,
        "up": event.parent_run_id or event.thread_id,
        "behind": (record.offset // BLOCK + 1) * BLOCK,
        "tenant_id": event.tenant_id,
        "planned": 1,
    }
    return (row,)


PROJECTION: Final = Projection(TABLE, project, PlanCreated)
