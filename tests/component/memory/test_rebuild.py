"""What the tables say depends on the set of events: any interleaving of topics in any batches gives the same bytes."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clew.chassis.records import Record
from clew.contracts.conversation import ApprovalDecided, RunSteered, ThreadChanged, ThreadDeleted
from clew.contracts.deadletters import RecordDeadLettered
from clew.contracts.documents import DocumentDeleted, DocumentFailed
from clew.contracts.envelope import Event
from clew.contracts.execution import (
    CallFailed,
    CallInDoubt,
    CapabilitiesAnnounced,
    HistorySummarised,
    PartitionClaimed,
    RunCancelled,
    RunFailed,
    RunResumed,
    RunSuspended,
    StepFailed,
    StepRetried,
    ThreadTitled,
)
from clew.contracts.planning import PlanFailed
from clew.contracts.registry import EVENTS
from clew.contracts.topics import topic_of
from clew.memory.app import PROJECTED
from tests.support.events import events
from tests.support.memory import PARTITIONS, MemoryLog, empty_tables, memory, tables
from tests.support.story import Story

pytestmark = pytest.mark.stack
PROJECTED_EVENTS = [event for event in EVENTS if topic_of(event).name in PROJECTED]
VARIED = (ThreadChanged, ThreadTitled, ThreadDeleted, ApprovalDecided, RunSteered, DocumentDeleted, DocumentFailed)
OF_RUNS = (
    CallFailed,
    CallInDoubt,
    HistorySummarised,
    PlanFailed,
    RunCancelled,
    RunFailed,
    RunResumed,
    RunSuspended,
    StepFailed,
    StepRetried,
)


class Silent(MemoryLog):
    """A log that shows nothing beside what the consumer brings, so that the order of the batches is what counts."""

    async def ends(self, topic: str) -> dict[int, int]:
        return {}


@st.composite
def worlds(draw: st.DrawFn) -> list[Event]:
    """Some conversations, whole and broken off, and among them any events at all, many about the same things."""
    stories = [Story("one"), Story("two", tenant="t2")]
    written: list[Event] = [event for story in stories for event in (story.created(), *story.whole("a"))]
    written += [*stories[0].whole("b", "a")[: draw(st.integers(0, 9))], *stories[0].document("notes", "words")]
    for model in draw(
        st.lists(st.sampled_from([*VARIED, *OF_RUNS, CapabilitiesAnnounced, *PROJECTED_EVENTS]), max_size=12)
    ):
        event = draw(events(model))
        story, run = draw(st.sampled_from(stories)), draw(st.sampled_from("ab"))
        about: dict[str, object] = {
            "tenant_id": story.tenant,
            "thread_id": story.thread_id,
            "run_id": story.run_id(run),
            "seq": draw(st.integers(0, 11)),
            "step_id": "answer",
            "call_id": story.call_id(run),
            "fact_id": story.run_id(run),
            "user_id": "ada",
            **({"source": "executor"} if model is CapabilitiesAnnounced else {}),
            **({"partition": draw(st.integers(0, PARTITIONS - 1))} if model is PartitionClaimed else {}),
        }
        known = {name: value for name, value in about.items() if name in type(event).model_fields}
        written.append(event if isinstance(event, RecordDeadLettered) else event.model_copy(update=known))
    repeats = draw(st.lists(st.sampled_from(written), max_size=4))
    return draw(st.permutations([*written, *repeats]))


def shuffled(records: list[Record], seed: int) -> list[list[Record]]:
    """The same records, in order within each partition, interleaved and cut into batches by chance."""
    rng = random.Random(seed)
    partitions: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        partitions.setdefault((record.topic, record.partition), []).append(record)
    queues: list[list[Record]] = [*partitions.values()]
    found: list[list[Record]] = [[]]
    while queues:
        queue = rng.choice(queues)
        found[-1].append(queue.pop(0))
        if not queue:
            queues.remove(queue)
        if rng.random() < 0.2:
            found.append([])
    return [batch for batch in found if batch]


async def projected(env: dict[str, str], namespace: str, batches: list[list[Record]]) -> dict[str, list[str]]:
    empty_tables(env["DATABASE_URL"], namespace)
    async with memory(env, namespace, Silent()) as under_test:
        for batch in batches:
            await under_test.take(batch)
    return tables(env["DATABASE_URL"], namespace)


@pytest.mark.timeout(120)
@settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a smaller example would take minutes to find
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(world=worlds(), seed=st.integers(0, 2**32))
def test_a_rebuild_equals_what_was_projected_live(
    stack_env: dict[str, str], fresh: str, world: list[Event], seed: int
) -> None:
    records = MemoryLog().write(*world)

    async def both() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        live = await projected(stack_env, fresh, shuffled(records, seed))
        return live, await projected(stack_env, fresh, [records])

    live, rebuilt = asyncio.run(both())
    assert live == rebuilt
