"""Which records of a partition count: claims by compare-and-set on the log. Pure.

`PartitionClaimed(claim, supersedes)` takes effect only if `supersedes` is the claim in force at its position; every
other record counts only under the claim in force. So what a frozen owner sends late changes nothing, for any reader.
A reader keeps the claim in force beside its offset, and needs the headers only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from clew.contracts.execution import PartitionClaimed

CLAIMED_TOPIC: Final = "task-updates"  # the topic whose partitions are claimed
_CLAIMED: Final = PartitionClaimed.ce_type().encode()


@dataclass(slots=True)
class Claims:
    """The claim in force in one partition, from a known place of it on; None before the first claim."""

    in_force: str | None = None

    def counts(self, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Takes in the next record's headers. False when the record is void: whoever wrote it was no longer the owner,
        or, of a claim, somebody else's had come first."""
        said = dict(headers)
        if said.get("ce_type") != _CLAIMED:
            return self.holds(said.get("claim"))
        if _text(said.get("supersedes")) != self.in_force:
            return False
        self.in_force = _text(said.get("claim"))
        return True

    def holds(self, claim: bytes | None) -> bool:
        """Whether a record counts that is no claim, by the claim in its headers."""
        return _text(claim) == self.in_force


@lru_cache(maxsize=256)  # thousands of records bear the same one
def _text(raw: bytes | None) -> str | None:
    """A claim as any reader can keep it: Postgres' text knows no NUL."""
    return None if raw is None else raw.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
