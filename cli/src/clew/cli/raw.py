"""`clew run view --raw`: a run's events as they stand in the log, and what was written of it and does not count."""

from collections.abc import Iterator, Sequence

from clew.cli.context import Cli
from clew.cli.errors import NoMoment, Refused, Unknown
from clew.cli.imported import Moments
from clew.cli.safe import one_line
from clew.cli.wire import Json

SHOWN = 3  # void records that a view names; `--raw` shows all


def show(cli: Cli, told: Moments, run_id: str, seq: int | None) -> None:
    """The events up to `seq`, one JSON a line. Unknown for a run that is not there, NoMoment for such an event."""
    try:
        void = told.void(run_id)
        events = list(told.records(run_id))
    except Refused as refused:
        if refused.problem.status == 404:
            raise Unknown(f"there is no run {run_id}") from refused
        raise
    if seq is not None and not any(event["seq"] == seq for event in events):
        raise NoMoment(f"there is no event {seq}: the run has the events {events[0]['seq']} to {events[-1]['seq']}")
    for record in merged([event for event in events if seq is None or event["seq"] <= seq], void, seq is None):
        cli.out.json(record)


def merged(events: Sequence[Json], void: Sequence[Json], whole: bool) -> Iterator[Json]:
    """The events in order, and before each the void records that stand before it in its partition; those behind the
    last one too when the run is shown whole."""
    left = list(void)
    for event in events:
        before = [record for record in left if _lane(record) == _lane(event) and record["offset"] < event["offset"]]
        yield from map(as_void, before)
        left = [record for record in left if record not in before]
        yield {**event, "void": None}
    yield from map(as_void, left if whole else ())


def as_void(record: Json) -> Json:
    why = {name: record[name] for name in ("claim", "claim_in_force")}
    return {name: value for name, value in record.items() if name not in why} | {"void": why}


def said_of_void(void: Sequence[Json], run_id: str) -> Iterator[str]:
    """In words what does not count, and why."""
    for record in void[:SHOWN]:
        place = f"{record['topic']}/{record['partition']}/{record['offset']}"
        claims = f"the claim {_short(record['claim'])} when {_short(record['claim_in_force'])} was in force"
        yield f"{place} {one_line(record['type'] or '?')} does not count: written under {claims}"
    if len(void) > SHOWN:
        yield f"{len(void) - SHOWN} more records do not count; see clew run view {run_id} --raw"


def _lane(record: Json) -> tuple[str, int]:
    return record["topic"], record["partition"]


def _short(claim: str | None) -> str:
    return "none" if claim is None else one_line(claim)[:8]
