"""What a tail says of runs, wherever the snapshot before it was cut; and what is missing from a journal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from clew.chassis.records import Record
from clew.contracts import codec
from clew.contracts.envelope import RunEvent
from clew.executor.past import Tail, about, run_past
from tests.support.conversation import Conversation
from tests.support.owners import RunStory

RUNS = [UUID(int=n) for n in range(1, 3)]
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(RUNS), st.sampled_from(["stepped", "suspended", "resumed", "completed"])),
    min_size=10,
    max_size=30,
)


def history(happenings: Sequence[tuple[UUID, str]]) -> list[RunEvent]:
    """Runs that begin with their start, and to which nothing happens after their end."""
    stories: dict[UUID, RunStory] = {}
    ended: set[UUID] = set()
    events: list[RunEvent] = []
    for run_id, what in happenings:
        if run_id not in stories:
            stories[run_id] = RunStory(run_id)
            events.append(stories[run_id].started())
        elif run_id not in ended:
            events.append(getattr(stories[run_id], what)())
            if what == "completed":
                ended.add(run_id)
    return events


def states(events: Sequence[RunEvent]) -> dict[UUID, str]:
    """The oracle: the last word on each run."""
    said = {"run-started": "running", "run-resumed": "running", "run-suspended": "suspended", "run-completed": "ended"}
    return {event.run_id: said[event.type_name()] for event in events if event.type_name() in said}


def runs(states: dict[UUID, str], state: str) -> set[UUID]:
    return {run_id for run_id, is_now in states.items() if is_now == state}


def record(event: RunEvent, offset: int = 0) -> Record:
    wire = codec.encode(event, source="executor")
    return Record("task-updates", 0, offset, datetime(2026, 11, 21, tzinfo=UTC), wire.key, wire.value, wire.headers)


@given(HAPPENINGS, st.integers(0, 30))
def test_snapshot_and_tail_say_the_same_as_the_whole_log(happenings: list[tuple[UUID, str]], cut: int) -> None:
    events = history(happenings)
    before, after = states(events[:cut]), states(events)
    tail = Tail()
    for event in events[cut:]:
        tail.take(record(event))
    assert tail.open(runs(before, "running"), runs(before, "suspended")) == runs(after, "running")
    assert tail.asleep(runs(before, "suspended")) == runs(after, "suspended")
    assert tail.ended == runs(after, "ended") - runs(before, "ended")


@given(HAPPENINGS, st.integers(0, 30))
def test_a_tail_keeps_every_record_of_its_open_runs_and_none_of_an_ended_one(
    happenings: list[tuple[UUID, str]], cut: int
) -> None:
    events = history(happenings)[cut:]
    tail = Tail()
    for offset, event in enumerate(events):
        tail.take(record(event, offset))
    for run_id in RUNS:
        kept = [kept.offset for kept in tail.records.get(run_id, [])]
        theirs = [n for n, event in enumerate(events) if event.run_id == run_id]
        assert kept == ([] if run_id in tail.ended else theirs)


def test_a_record_without_a_run_is_about_none() -> None:
    nothing = Record("task-updates", 0, 0, datetime(2026, 11, 21, tzinfo=UTC), None, b"", [("ce_subject", b"\xff")])
    assert about(nothing) == (None, "")


def test_a_signal_is_heard_once() -> None:
    story = RunStory()
    heard, unheard = story.decided(), story.decided()
    events = [*story.begun(), story.heard(heard.event_id)]
    past = run_past(story.planned(), events, [heard, unheard, heard, unheard])
    assert past.signals == (unheard,)


def test_a_journal_is_torn_at_the_first_number_that_is_missing() -> None:
    story = RunStory()
    plan, begun = story.planned(), story.begun()
    story.skip()
    assert run_past(plan, begun, ()).torn is None
    assert run_past(plan, [*begun, story.stepped()], ()).torn == 5
    assert run_past(plan, begun[1:], ()).torn == 2
    assert run_past(None, begun, ()).torn == 1


def test_a_journal_whose_last_event_cannot_be_read_is_torn_behind_what_can() -> None:
    story = RunStory()
    plan, begun = story.planned(), story.begun()
    assert run_past(plan, begun, (), unreadable=True).torn == 2 + len(begun)
    assert run_past(plan, begun[1:], (), unreadable=True).torn == 2


def test_a_run_that_has_not_begun_and_a_fork_need_no_plan() -> None:
    story, other = RunStory(), RunStory()
    heard, cancelled = other.heard(other.decided().event_id), Conversation().cancelled("early", 3)
    assert run_past(None, [heard], ()).torn is None
    assert run_past(None, [heard, cancelled], ()).torn is None
    fork = story.started().model_copy(update={"forked_from": RUNS[0], "after_seq": 3})
    assert run_past(None, [fork], ()).torn is None
    assert run_past(None, [], ()).torn is None
