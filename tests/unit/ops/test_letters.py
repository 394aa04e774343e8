"""Dead letters: which are open, and how their record is written again."""

from datetime import UTC, datetime
from uuid import UUID

from clew.chassis.deadletter import dead_letter
from clew.chassis.records import Record
from clew.contracts.deadletters import DeadLetterResolved, RecordDeadLettered
from clew.contracts.envelope import SYSTEM_TENANT, derive, root_stamp
from clew.ops.letters import REDRIVE_OF, letters, matching

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
RUN = UUID("26cb20cc-818d-53b4-9c10-d4626bc8a3e6")


def letter(offset: int, service: str = "memory", reason: str = "Malformed") -> RecordDeadLettered:
    headers = [("ce_type", b"clew.plan-created.v1"), ("ce_subject", str(RUN).encode()), ("raw", b"\xff")]
    return dead_letter(Record("plans", 3, offset, AT, b"key", b"not json", headers), service, reason, "why", AT)


def resolved(offset: int) -> DeadLetterResolved:
    return DeadLetterResolved(
        **root_stamp(derive(RUN, offset), SYSTEM_TENANT, AT),
        topic="plans",
        partition=3,
        offset=offset,
        action="dropped",
        resolved_by="ada",
    )


def test_one_record_is_one_letter_however_many_services_refused_it() -> None:
    [only] = letters([letter(7, "memory"), letter(7, "executor"), letter(7, "memory")])
    assert only.services == ("memory", "executor")
    assert only.id == "plans/3/7"


def test_a_letter_is_open_until_somebody_has_dealt_with_it() -> None:
    first, second = letters([letter(7), letter(8), resolved(7), resolved(99)])
    assert first.resolved == resolved(7)
    assert second.resolved is None


def test_a_record_is_written_again_with_its_key_value_and_headers_and_says_that_it_was() -> None:
    [only] = letters([letter(7)])
    value, headers = only.again()
    assert (only.key, value) == (b"key", b"not json")
    assert headers[:-1] == only.headers
    assert headers[-1] == (REDRIVE_OF, b"plans/3/7")


def test_a_second_redrive_of_a_redriven_record_names_only_the_last_letter() -> None:
    record = Record("plans", 3, 9, AT, None, b"x", [(REDRIVE_OF, b"plans/3/7")])
    [only] = letters([dead_letter(record, "memory", "Malformed", "why", AT)])
    assert only.again()[1] == [(REDRIVE_OF, b"plans/3/9")]


def test_an_edited_body_replaces_the_value_and_drops_what_would_be_wrong_about_it() -> None:
    record = Record("plans", 3, 9, AT, None, b"{}", [("ce_dataref", b"gone"), ("ce_id", b"1")])
    [only] = letters([dead_letter(record, "memory", "Malformed", "why", AT)])
    value, headers = only.again(b'{"a": 1}')
    assert value == b'{"a": 1}'
    assert [name for name, _ in headers] == ["ce_id", REDRIVE_OF]


def test_a_task_update_is_written_again_under_the_claim_in_force() -> None:
    record = Record("task-updates", 3, 9, AT, None, b"{}", [("claim", b"old")])
    [only] = letters([dead_letter(record, "memory", "Malformed", "why", AT)])
    assert only.again(claim="new")[1][0] == ("claim", b"new")


def test_letters_are_chosen_by_service_topic_reason_and_run() -> None:
    found = letters([letter(7), letter(8, "planner", "RejectEvent")])
    assert [one.id for one in matching(found, service="planner", topic=None, reason=None, run=None)] == ["plans/3/8"]
    assert [one.id for one in matching(found, service=None, topic=None, reason="Malformed", run=RUN)] == ["plans/3/7"]
    assert matching(found, service=None, topic="documents", reason=None, run=None) == []
