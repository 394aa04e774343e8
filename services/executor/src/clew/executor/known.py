"""Which runs of the partitions that are ours are known not to be under way, and why."""

from dataclasses import dataclass, field
from uuid import UUID

REMEMBERED = 10_000  # ended runs kept in mind, so that a late signal for one asks nobody


@dataclass(slots=True)
class Known:
    """Runs that are over, asleep, or heard something `early`, before they began; each with its partition."""

    ended: dict[UUID, int] = field(default_factory=dict[UUID, int])
    asleep: dict[UUID, int] = field(default_factory=dict[UUID, int])
    early: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def remember(self, run_id: UUID, partition: int) -> None:
        """The run has ended."""
        self.asleep.pop(run_id, None)
        self.ended[run_id] = partition
        while len(self.ended) > REMEMBERED:
            del self.ended[next(iter(self.ended))]

    def forget(self, partition: int) -> None:
        """What is known of this partition may be wrong from now on."""
        self.ended = {run_id: owned for run_id, owned in self.ended.items() if owned != partition}
        self.asleep = {run_id: owned for run_id, owned in self.asleep.items() if owned != partition}
        self.early = {run_id: owned for run_id, owned in self.early.items() if owned != partition}
