"""The letter that keeps a record which could not be taken in."""

from datetime import datetime

from clew.chassis.records import Record
from clew.contracts.deadletters import RawHeader, RecordDeadLettered, to_base64
from clew.contracts.envelope import ID_NAMESPACE, SYSTEM_TENANT, derive, root_stamp


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
