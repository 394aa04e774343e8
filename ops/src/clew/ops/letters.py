"""Dead letters as operators deal with them: which are open, and how their record is written again. Pure.

What was done about a letter is an event of its own; the letter stays as it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from clew.contracts.deadletters import DeadLetterResolved, RecordDeadLettered, from_base64
from clew.contracts.envelope import Event

REDRIVE_OF: Final = "redrive-of"  # header: the dead letter that a record was written again from
STALE: Final = frozenset({"ce_dataref", "traceparent"})  # headers that an edited body or a second writing make wrong
Place: TypeAlias = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True)
class Letter:
    """One record that could not be taken in, and by whom; `resolved` by an operator, or still open."""

    event: RecordDeadLettered
    services: tuple[str, ...]
    resolved: DeadLetterResolved | None = None

    @property
    def place(self) -> Place:
        return self.event.topic, self.event.partition, self.event.offset

    @property
    def id(self) -> str:
        """`topic/partition/offset` of the record."""
        return "/".join(map(str, self.place))

    @property
    def key(self) -> bytes | None:
        return from_base64(self.event.record_key)

    @property
    def value(self) -> bytes | None:
        return from_base64(self.event.record_value)

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        return [(header.name, from_base64(header.value)) for header in self.event.record_headers]

    @property
    def type(self) -> str:
        raw = dict(self.headers).get("ce_type")
        return "?" if raw is None else raw.decode(errors="replace")

    def again(
        self, body: bytes | None = None, claim: str | None = None
    ) -> tuple[bytes | None, list[tuple[str, bytes]]]:
        """Value and headers to write it again with: its own, or an edited body. `claim`: the one in force now, for a
        record that was written under one."""
        dropped = STALE if body is not None else frozenset[str]()
        kept = [(name, raw or b"") for name, raw in self.headers if name not in dropped and name != REDRIVE_OF]
        if claim is not None:
            kept = [(name, claim.encode() if name == "claim" else raw) for name, raw in kept]
        return (self.value if body is None else body), [*kept, (REDRIVE_OF, self.id.encode())]


def letters(events: Iterable[Event]) -> list[Letter]:
    """The letters in the order in which they came, each record once however many services refused it."""
    found: dict[Place, Letter] = {}
    for event in events:
        if isinstance(event, RecordDeadLettered):
            place = (event.topic, event.partition, event.offset)
            before = found.get(place)
            services = (*(before.services if before else ()), event.service)
            found[place] = Letter(before.event if before else event, tuple(dict.fromkeys(services)))
        elif isinstance(event, DeadLetterResolved):
            place = (event.topic, event.partition, event.offset)
            if place in found and found[place].resolved is None:
                found[place] = Letter(found[place].event, found[place].services, event)
    return list(found.values())


def matching(
    found: Sequence[Letter], *, service: str | None, topic: str | None, reason: str | None, run: UUID | None
) -> list[Letter]:
    """Those that are asked for; None asks for all."""
    return [
        letter
        for letter in found
        if (service is None or service in letter.services)
        and (topic is None or letter.event.topic == topic)
        and (reason is None or letter.event.reason == reason)
        and (run is None or letter.event.run_id == str(run))
    ]
