"""What a seed brings is the same every time, and leaves nothing out."""

from typing import get_args

from tests.chaos.mutants import MUTANTS
from tests.chaos.schedule import FROZEN, LONG, LONG_ROUND, ROUND, SESSION, WAKINGS, Kind, schedule
from tests.chaos.workload import TOOLS, workload


def test_a_seed_brings_the_same_acts_and_another_seed_others() -> None:
    assert schedule(1, 60) == schedule(1, 60)
    assert schedule(1, 60) != schedule(2, 60)


def test_every_act_of_a_round_is_done_however_short_the_trial_is() -> None:
    assert sorted((act.kind, act.target) for act in schedule(3, 1)) == sorted(ROUND)


def test_a_long_trial_leaves_no_kind_of_act_out() -> None:
    assert {kind for kind, _ in LONG_ROUND} == set(get_args(Kind))
    frequent = {"kill", "freeze", "term", "rolling", "scale", "kafka-term", "stall-kill", "postgres-term", "flush"}
    assert {kind for kind, _ in ROUND} >= frequent, "stall-kill kills Kafka, too"


def test_a_long_trial_goes_on_to_its_end() -> None:
    assert 600 - max(act.at for act in schedule(3, 600)) < 150
    assert schedule(3, 600)[-1].at >= 600 - 60


def test_a_process_stands_still_for_longer_than_its_session() -> None:
    assert FROZEN[0] > SESSION
    still = [act for act in schedule(5, 600, LONG_ROUND) if act.kind in ("freeze", "overtake", "blind")]
    assert {act.kind for act in still} == {"freeze", "overtake", "blind"}
    assert all(act.seconds > SESSION for act in still)


def test_what_wakes_up_late_does_so_before_the_next_act() -> None:
    acts = schedule(3, 600, LONG_ROUND)
    waking = [n for n, act in enumerate(acts[:-1]) if act.kind in WAKINGS]
    assert waking
    assert all(acts[n + 1].at - acts[n].at >= LONG > FROZEN[1] for n in waking)
    assert {kind for mutant in MUTANTS.values() for kind, _ in mutant.acts} >= WAKINGS


def test_a_workload_follows_from_its_seed_and_holds_everything() -> None:
    talks = workload(4, 60, 400)
    assert talks == workload(4, 60, 400)
    turns = [turn for talk in talks for turn in talk.turns]
    assert 400 <= len(turns) < 410
    assert {turn.on_busy for turn in turns} == {"enqueue", "interrupt", "rollback", "reject", "steer"}
    assert any(turn.cancel is not None for turn in turns)
    assert any(turn.watched for turn in turns)
    named = {name for turn in turns for step in turn.script.steps for names in step.rounds for name in names}
    assert named == set(TOOLS)


def test_every_message_has_a_name_of_its_own() -> None:
    tokens = [turn.script.token for talk in workload(4, 60, 400) for turn in talk.turns]
    assert len(set(tokens)) == len(tokens)
