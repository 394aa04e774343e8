"""The list of topics is consistent, and no service reads or writes a topic that its row does not name."""

import re
from pathlib import Path

import pytest

from clew.contracts.envelope import RunScoped, ThreadEvent
from clew.contracts.registry import EVENTS
from clew.contracts.topics import SERVICES, load_topics, topic_of
from tests.support.service_source import badly_named_handlers, built_in, violations

ROOT = Path(__file__).parents[2]
TOPICS = load_topics().topics


def test_every_event_is_on_exactly_one_topic() -> None:
    listed = sorted(name for topic in TOPICS for name in topic.events)
    assert listed == sorted(event.__name__ for event in EVENTS)


def test_topics_have_names_of_their_own() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_every_topic_is_written_and_read_by_services_that_exist() -> None:
    folders = {path.name for path in (ROOT / "services").iterdir() if path.is_dir()}
    assert folders == set(SERVICES)
    for topic in TOPICS:
        assert topic.producers
        assert topic.consumers
        assert set(topic.producers + topic.consumers) <= folders | {"operator"}  # a person, with the commands of `ops`
        assert "gateway" not in topic.consumers, "the gateway consumes nothing durable"
        assert "memory" in topic.consumers, "what is in the log is in the views"


def test_topics_that_belong_to_threads_are_co_partitioned_and_so_are_their_readers() -> None:
    keyed = [topic for topic in TOPICS if topic.key == "thread_id"]
    assert {topic.partitions for topic in keyed} == {"threads"}
    assert {topic.partition_count(12) for topic in keyed} == {12}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_key_that_a_topic_promises_is_a_field_of_its_events(event: type) -> None:
    key = topic_of(event).key
    if re.fullmatch(r"[a-z_]+", key) and event.__name__ != "PartitionClaimed":
        assert key in event.model_fields
    assert (key == "thread_id") == (issubclass(event, ThreadEvent) or event.__name__ == "PartitionClaimed")


def test_what_cannot_be_rebuilt_is_kept_for_ever() -> None:
    passing = {topic.name for topic in TOPICS if topic.retention != "forever"}
    assert passing == {"token-deltas", "capabilities", "dead-letters"}


def test_words_to_a_run_never_wait_behind_work() -> None:
    for event in EVENTS:
        if issubclass(event, RunScoped) and topic_of(event).name in ("run-signals", "task-updates"):
            assert topic_of(event).lane == "control"


def test_no_service_touches_a_topic_that_its_row_does_not_name() -> None:
    assert violations(ROOT) == []


def test_handlers_are_named_after_their_events() -> None:
    assert badly_named_handlers(ROOT) == []


def test_an_event_with_one_producer_is_built_in_one_service_and_there_in_one_module() -> None:
    scattered = {
        name: sorted(map(str, paths))
        for name, paths in built_in(ROOT).items()
        if len(paths) > len({path.parts[1] for path in paths})
    }
    assert scattered == {}


# The checks themselves, on services made for the purpose.


def plant(root: Path, service: str, source: str) -> Path:
    package = root / f"services/{service}/src/clew/{service}"
    package.mkdir(parents=True)
    (package / "app.py").write_text(source)
    return root


@pytest.mark.parametrize(
    ("service", "source", "told"),
    [
        ("gateway", "service.on(PlanCreated, on_plan_created)", "may not read plans"),
        ("executor", "service.on(conversation.ThreadCreated, h)", "may not read user-messages"),
        ("planner", "service.on_batch(['plans'], h)", "may not read plans"),
        ("planner", "TOPICS = ('user-messages', 'documents')\nservice.on_batch(TOPICS, h)", "may not read documents"),
        ("planner", "T = [topic_of(TokenDelta).name]\nservice.on_batch(T, h)", "may not read token-deltas"),
        ("planner", "ONE = 'plans'\nservice.on_batch([ONE], h)", "may not read plans"),
        ("planner", "service.on_batch([t.name for t in load_topics().read_by('memory')], h)", "may not read plans"),
        ("gateway", "async def f():\n    async for r in log.follow('capabilities'): pass", "may not read capabilities"),
        ("gateway", "def f():\n    return planning.PlanCreated(seq=1)", "may not write plans"),
        ("memory", "x = RunCompleted(**stamp)", "may not write task-updates"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, service: str, source: str, told: str) -> None:
    lines = [line for line in violations(plant(tmp_path, service, source)) if told in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"services/{service}/src/clew/{service}/app.py:")


@pytest.mark.parametrize(
    ("service", "source"),
    [
        ("planner", "service.on(UserMessageReceived, on_user_message_received)"),
        (
            "planner",
            "def f(e):\n    match e:\n        case UserMessageReceived(seq=0): return isinstance(e, ThreadCreated)",
        ),
        ("memory", "service.on_batch([t.name for t in load_topics().read_by('memory')], h)"),
        ("memory", "file.read('not a topic')"),
        ("executor", "button.on('click', f)\nx = RunCompleted(seq=2)"),
    ],
)
def test_what_the_rows_allow_is_left_alone(tmp_path: Path, service: str, source: str) -> None:
    assert violations(plant(tmp_path, service, source)) == []


def test_a_batch_of_a_topic_that_does_not_exist_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no topic is called 'plan'"):
        violations(plant(tmp_path, "memory", "service.on_batch(['plan'], h)"))


def test_a_handler_by_another_name_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "executor", "service.on(PlanCreated, handlers.start)\nservice.on(PlanFailed, wrap(on_plan_failed))")
    assert len(badly_named_handlers(tmp_path)) == 1


def test_events_built_in_two_places_are_found(tmp_path: Path) -> None:
    plant(tmp_path, "planner", "PlanCreated(seq=1)")
    (tmp_path / "services/planner/src/clew/planner/other.py").write_text("PlanCreated(seq=1)")
    assert len(built_in(tmp_path)["PlanCreated"]) == 2
