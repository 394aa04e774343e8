"""Which event may come next behind a place, and which leaves a gap."""

from hypothesis import given
from hypothesis import strategies as st

from clew.contracts.execution import RunCancelled, RunFailed, RunStarted
from clew.views.client import ClientEvent, client_event, client_token
from clew.views.cursor import Cursor
from clew.views.order import joined
from tests.support.story import Story

STORY = Story()
RUN = STORY.run_id("a")
START = Cursor(RUN, -1)
WHOLE = [client_event(event) for event in [STORY.asked("a"), STORY.planned("a"), *STORY.worked("a")]]
COMMON = STORY.where("a")


def seqs(events: list[ClientEvent]) -> list[int]:
    return [event.seq for event in events]


def test_all_that_stands_behind_a_place_joins_it() -> None:
    assert joined(START, WHOLE) == WHOLE
    assert seqs(joined(Cursor(RUN, 3), WHOLE)) == [4, 5, 6]


def test_nothing_joins_behind_a_gap() -> None:
    assert seqs(joined(START, [*WHOLE[:3], *WHOLE[4:]])) == [0, 1, 2]
    assert joined(START, WHOLE[1:]) == []


@given(st.lists(st.sampled_from(WHOLE)), st.integers(-1, 6))
def test_what_joins_has_no_gap_and_no_repeat(events: list[ClientEvent], seq: int) -> None:
    found = seqs(joined(Cursor(RUN, seq), events))
    assert found == list(range(seq + 1, seq + 1 + len(found)))


def test_tokens_join_the_event_they_came_after() -> None:
    tokens = [client_token(STORY.token("a", i, "x"), Cursor(RUN, 5, i + 1)) for i in range(3)]
    events = [*WHOLE[:6], *tokens, WHOLE[6]]
    assert joined(START, events) == events
    assert joined(Cursor(RUN, 5, 2), events) == [tokens[2], WHOLE[6]]
    assert joined(Cursor(RUN, 4), tokens) == [], "the event before them has not come yet"
    assert joined(Cursor(RUN, 6), tokens) == [], "they came before the event that was seen last"


def test_what_comes_behind_the_end_of_a_run_is_left_out() -> None:
    whole = [client_event(event) for event in STORY.whole("a")]
    late = client_token(STORY.token("a", 9, "x"), Cursor(RUN, whole[-1].seq, 1))
    assert joined(START, [*whole, late]) == whole


def test_a_started_run_waits_for_its_plan() -> None:
    assert joined(Cursor(RUN, 0), [WHOLE[2]]) == []


def test_a_run_that_ended_before_it_was_planned_has_no_plan() -> None:
    cancelled = client_event(RunCancelled(**STORY.stamp("x"), **COMMON, seq=2))
    dead = client_event(RunFailed(**STORY.stamp("x"), **COMMON, seq=2, reason="dead_letter", error="-"))
    unplanned = client_event(RunFailed(**STORY.stamp("x"), **COMMON, seq=2, reason="plan", error="-"))
    assert joined(Cursor(RUN, 0), [cancelled]) == [cancelled]
    assert joined(Cursor(RUN, 0), [dead]) == [dead]
    assert joined(Cursor(RUN, 0), [unplanned]) == [], "a plan that failed is an event too"


def test_a_fork_begins_with_its_start() -> None:
    fork = RunStarted(
        **STORY.stamp("x"), **COMMON, seq=2, model="m", code_version="1", forked_from=STORY.run_id("b"), after_seq=4
    )
    assert joined(START, [client_event(fork)]) == [client_event(fork)]
