"""Hypothesis strategies for every event, made from the models themselves, so that a new event needs no new strategy."""

import types
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import AwareDatetime, BaseModel, JsonValue

from clew.contracts.envelope import Event
from clew.contracts.planning import Plan, Step

# Zones with seconds in their offsets, and with an hour that comes twice: where moments are easily lost.
ZONES = [UTC, ZoneInfo("Europe/Amsterdam"), ZoneInfo("America/New_York"), timezone(timedelta(hours=-3, seconds=-27))]
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.sampled_from(ZONES))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLAIN: dict[Any, SearchStrategy[Any]] = {
    JsonValue: JSON,
    UUID: st.uuids(),
    bool: st.booleans(),
    AwareDatetime: MOMENTS,
    timedelta: st.timedeltas(),
    type(None): st.none(),
}


def events(model: type[Event]) -> SearchStrategy[Event]:
    """Any event of one class, with and without its optional fields."""
    return _model(model)


def _model(model: type[BaseModel]) -> SearchStrategy[Any]:
    if model is Plan:
        return st.builds(_plan, st.lists(_model(Step), min_size=1, max_size=4), st.text(max_size=8))
    hints = get_type_hints(model, include_extras=True)
    fields = {name: _annotated(hints[name], field.metadata) for name, field in model.model_fields.items()}
    required = {name: strategy for name, strategy in fields.items() if model.model_fields[name].is_required()}
    optional = {name: strategy for name, strategy in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: model(**values))


def _plan(steps: list[Step], rationale: str) -> Plan:
    """A plan of these steps, each after the first depending on the one before it."""
    ids = [f"step-{number}" for number in range(len(steps))]
    chained = [
        step.model_copy(update={"step_id": own, "depends_on": tuple(ids[:number][-1:])})
        for number, (own, step) in enumerate(zip(ids, steps, strict=True))
    ]
    return Plan(steps=tuple(chained), rationale=rationale)


def _annotated(hint: Any, metadata: list[Any]) -> SearchStrategy[Any]:
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        return _annotated(inner, [*more, *metadata])
    if hint in PLAIN:
        return PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([_annotated(member, metadata) for member in arguments])
    if origin is tuple:
        return st.lists(_annotated(arguments[0], []), min_size=_limit(metadata, "min_length", 0), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=8), JSON, max_size=3)
    if issubclass(hint, BaseModel):
        return _model(hint)
    return _scalar(hint, metadata)


def _scalar(hint: type, metadata: list[Any]) -> SearchStrategy[Any]:
    low, high = _limit(metadata, "ge", None), _limit(metadata, "le", None)
    if hint is int:
        return st.integers(low, high if high is not None else 2**70)
    if hint is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if hint is str:
        pattern: str | None = _limit(metadata, "pattern", None)
        return st.text(max_size=12) if pattern is None else st.from_regex(pattern, fullmatch=True).filter(_one_line)
    raise TypeError(f"no strategy for {hint}: add one to PLAIN")


def _one_line(text: str) -> bool:
    """Python's `$` lets a line feed follow; the one of the models' patterns does not."""
    return not text.endswith("\n")


def _limit(metadata: list[Any], name: str, default: Any) -> Any:
    """The last word on a limit among a field's constraints, whichever of pydantic's classes holds it."""
    return next((value for m in reversed(metadata) if (value := getattr(m, name, None)) is not None), default)
