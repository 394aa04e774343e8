"""What executors announce: the last word of each source."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Table, Text

from clew.chassis.records import Record
from clew.contracts.execution import CapabilitiesAnnounced
from clew.memory.projections.table import Projected, Projection, by, metadata, moment

TABLE: Final = Table(
    "capabilities",
    metadata,
    Column("source", Text, primary_key=True),
    Column("body", JSON, nullable=False, info=by("last")),
    moment("announced_at", "last"),
    Column("record_offset", BigInteger, nullable=False, info=by("greatest")),
)


def project(event: CapabilitiesAnnounced, record: Record) -> Projected:
    yield {
        "source": event.source,
        "body": event.model_dump_json(include={"agents", "tools"}),
        "announced_at": event.occurred_at,
        "record_offset": record.offset,
    }


PROJECTION: Final = Projection(TABLE, project, CapabilitiesAnnounced)
