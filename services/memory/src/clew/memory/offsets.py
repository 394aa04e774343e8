"""How far memory has read: the first offset of each partition that is not in the tables, and the claim in force."""

from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from clew.memory.projections.table import metadata

TABLE: Final = Table(
    "offsets",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("claim", Text),  # in force at next_offset; null before the first, and in topics that nobody claims
)


class Place(NamedTuple):
    """How far a partition has been read, and under which claim its next record counts."""

    next_offset: int
    claim: str | None = None


MAKE: Final = """
INSERT INTO offsets (topic, partition, next_offset)
SELECT *, 0 FROM unnest(%s::text[], %s::int[])
ON CONFLICT DO NOTHING
"""
READ: Final = "SELECT topic, partition, next_offset, claim FROM offsets"
# Touches a row only where nobody else has advanced it: the rows that come back tell whether this process may go on.
ADVANCE: Final = """
UPDATE offsets SET next_offset = step.next_offset, claim = step.claim
FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::text[])
    AS step(topic, partition, expected, next_offset, claim)
WHERE offsets.topic = step.topic AND offsets.partition = step.partition AND offsets.next_offset = step.expected
RETURNING 1
"""
