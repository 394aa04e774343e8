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
    plans,
    runs,
    signals,
    steps,
    threads,
)
from clew.memory.projections.table import Projection

EVENTS: Final = events.EVENTS  # written first: it decides which of the numbered events count
ALL: Final[tuple[Projection, ...]] = (
    *threads.ALL,
    messages.MESSAGES,
    plans.PLANS,
    runs.RUNS,
    steps.STEPS,
    calls.CALLS,
    signals.SIGNALS,
    *documents.ALL,
    chunks.CHUNKS,
    capabilities.CAPABILITIES,
    dead_letters.DEAD_LETTERS,
)
