"""What counts, as all readers count it: first void, then deduplicate."""

from clew.chassis.records import EPOCH, Record
from clew.contracts import codec
from clew.contracts.envelope import Event
from clew.contracts.execution import PartitionClaimed
from clew.contracts.topics import topic_of
from clew.ops.verify.facts import fold
from tests.support.conversation import MOMENT
from tests.unit.chaos.history import TALK


def record(event: Event, offset: int, claim: str | None = None) -> tuple[Record, Event]:
    wire = codec.encode(event, source="executor", claim=claim)
    return Record(topic_of(type(event)).name, 0, offset, EPOCH, wire.key, wire.value, wire.headers), event


def claimed(claim: str, supersedes: str | None) -> PartitionClaimed:
    base = TALK.created()
    return PartitionClaimed(
        event_id=base.event_id,
        tenant_id="system",
        occurred_at=MOMENT,
        correlation_id=base.event_id,
        partition=0,
        claim=claim,
        supersedes=supersedes,
        owner="test",
    )


def test_an_event_under_an_old_claim_is_void_and_takes_no_number_from_the_valid_one() -> None:
    log = [
        record(claimed("a", None), 0),
        record(TALK.started("m1"), 1, "a"),
        record(claimed("b", "a"), 2),
        record(TALK.completed("m1", 3), 3, "a"),
        record(TALK.failed("m1", 3), 4, "b"),
        record(TALK.failed("m1", 3), 5, "b"),
    ]
    folded = fold((r._replace(offset=n), e) for n, (r, e) in enumerate(log))
    assert [x.valid for x in folded[1:]] == [True, True, False, True, True]
    assert [x.counts for x in folded if x.offset in (1, 3, 4, 5)] == [True, False, True, False]


def test_a_late_claim_changes_nothing() -> None:
    log = [record(claimed("a", None), 0), record(claimed("b", "a"), 1), record(claimed("c", "a"), 2)]
    folded = fold([*log, record(TALK.started("m1"), 3, "c"), record(TALK.started("m2"), 4, "b")])
    assert [x.valid for x in folded] == [True, True, False, False, True]
