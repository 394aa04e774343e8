"""Every projection: one file each, its tables and what an event means for them. `ALL` is the order of writing."""

from typing import Final

from clew.memory.projections import (
    calls,
    capabilities,
    chunks,
    dead_letters,
    documents,
    events,
    messages,
    missed_steers,
    plans,
    runs,
    signals,
    steps,
    threads,
    void_events,
)
from clew.memory.projections.table import Projection

EVENTS: Final = events.EVENTS  # written first: it decides which of the numbered events count
VOID_EVENTS: Final = void_events.VOID_EVENTS  # written for the records that do not count, and nothing else is
ALL: Final[tuple[Projection, ...]] = (
    *threads.ALL,
    messages.MESSAGES,
    plans.PLANS,
    runs.RUNS,
    steps.STEPS,
    calls.CALLS,
    signals.SIGNALS,
    missed_steers.MISSED_STEERS,
    *documents.ALL,
    chunks.CHUNKS,
    capabilities.CAPABILITIES,
    dead_letters.DEAD_LETTERS,
)
