"""What a handler knows beside the event itself.

`Depends` declares what else it wants, as in `def on_x(event: X, context: Context, db: Annotated[Db, Depends(open)])`.
"""

from dataclasses import dataclass

from faststream import Depends as Depends

from clew.chassis.clock import Clock
from clew.contracts.envelope import Event, Position, Stamp, stamp


@dataclass(frozen=True, slots=True)
class Context:
    """One delivery of one event.

    `backlog`: the record was in the log before this process took the partition over, or a first try failed, so
    somebody may have handled it in part.
    """

    position: Position
    cause: Event
    backlog: bool
    now: Clock

    def stamp(self, n: object) -> Stamp:
        """The stamp of the `n`-th event that follows from this one: the same ids at every delivery."""
        return stamp(self.cause, n, self.now())
