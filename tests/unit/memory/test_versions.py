"""Which projections there are, and whether a schema says that these filled it."""

from types import ModuleType
from typing import Final

import pytest

from clew.memory.projections import ALL, EVENTS, declared
from clew.memory.rebuild import Verdict
from clew.memory.versions import VERSIONS, differences, note, told


def module(**names: object) -> ModuleType:
    made = ModuleType("projections.of_test")
    vars(made).update(names)
    return made


WRONG: Final[dict[str, dict[str, object]]] = {
    "none": {},
    "something else": {"PROJECTION": 1},
    "empty": {"PROJECTIONS": ()},
    "not only projections": {"PROJECTIONS": (EVENTS, 1)},
    "both": {"PROJECTION": EVENTS, "PROJECTIONS": ALL},
}


@pytest.mark.parametrize("names", WRONG.values(), ids=WRONG.keys())
def test_a_file_that_declares_no_projection_or_two_is_named(names: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"projections\.of_test has to declare a projection"):
        declared(module(**names))


def test_a_file_declares_one_projection_or_those_of_several_tables() -> None:
    assert declared(module(PROJECTION=EVENTS)) == (EVENTS,)
    assert declared(module(PROJECTIONS=ALL)) == ALL


def test_no_two_projections_write_one_table() -> None:
    assert len({projection.table.name for projection in ALL}) == len(ALL)
    assert VERSIONS.keys() > {projection.table.name for projection in ALL}


def test_a_schema_that_this_version_filled_says_so() -> None:
    assert differences(note()) == {}
    assert differences(note({"runs": 12}), {"runs": 12}) == {}


def test_each_projection_that_is_not_the_same_is_named() -> None:
    found = differences(note({"runs": 1, "steps": 2, "gone": 1}), {"runs": 3, "steps": 2, "added": 1})
    assert told(found) == "added is new, gone is not known here, runs has version 1 and not 3"


@pytest.mark.parametrize("noted", ["", "projection 2", "projections 7", "clew runs 1"])
def test_of_a_schema_that_says_something_else_nothing_is_known(noted: str) -> None:
    assert differences(noted).keys() == VERSIONS.keys()
    assert told(differences(noted)) == "what filled the tables is not known"


def test_a_difference_in_a_projection_of_the_same_version_is_wrong_whatever_else_is_new() -> None:
    rows = {"runs": ["runs (1): not the same"], "added": ["added: only in the rebuilt tables"]}
    assert Verdict(rows, {"added": "is new"}).wrong == ["runs (1): not the same"]
    assert Verdict(rows, {"added": "is new", "runs": "has version 1 and not 2"}).wrong == []
