"""The letter that keeps a record which could not be taken in, and how many of them are too many."""

from collections import deque
from datetime import datetime
from typing import Final

from clew.chassis.records import Record
from clew.contracts.deadletters import RawHeader, RecordDeadLettered, to_base64
from clew.contracts.envelope import ID_NAMESPACE, SYSTEM_TENANT, derive, root_stamp

WINDOW: Final = 60.0  # seconds that are looked back on
TOO_MANY: Final = 50  # dead letters within the window; fewer are bad data, whatever their share
SHARE: Final = 0.1  # of the records handled in the window


def dead_letter(record: Record, service: str, reason: str, detail: str, now: datetime) -> RecordDeadLettered:
    """`record` as it was, with why `service` could not take it in. The same record gives the same event id."""
    event_id = derive(ID_NAMESPACE, "dead-letter", service, record.topic, record.partition, record.offset)
    headers = tuple(RawHeader(name=name, value=to_base64(value)) for name, value in record.headers)
    return RecordDeadLettered(
        **root_stamp(event_id, SYSTEM_TENANT, now),
        service=service,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        recorded_at=record.timestamp,
        reason=reason,
        detail=detail,
        record_key=to_base64(record.key),
        record_value=to_base64(record.value),
        record_headers=headers,
        run_id=_subject(record),
    )


def _subject(record: Record) -> str | None:
    """The run that the headers name, if they can be read at all."""
    raw = dict(record.headers).get("ce_subject")
    return None if raw is None else raw.decode(errors="replace")


class LetterRate:
    """Counts dead letters among the records handled. Pure: it is told the time, in seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, bool]] = deque()
        self._dead = 0

    def note(self, now: float, *, dead: bool) -> str | None:
        """One more record is finished. The reason to stop, when there have been too many dead letters."""
        self._seen.append((now, dead))
        self._dead += dead
        while self._seen[0][0] < now - WINDOW:
            self._dead -= self._seen.popleft()[1]
        if self._dead <= TOO_MANY or self._dead < SHARE * len(self._seen):
            return None
        return f"{self._dead} of {len(self._seen)} records within {WINDOW:.0f} s went to the dead letters"
