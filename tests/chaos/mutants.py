"""Clew with one mechanism broken, to prove that the oracle would notice: production code knows nothing of it.

`python -m tests.chaos.mutants NAME SERVICE` patches the named mechanism in this process and then runs the service.
"""

import importlib
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from clew.chassis import keyed
from tests.chaos.fleet import Command, plain


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mechanism of `services` that `apply` breaks, and the invariants of which at least one must be seen broken."""

    services: frozenset[str]
    apply: Callable[[], None]
    breaks: frozenset[str]


def commit_early() -> None:
    """What was seen counts as finished: the commit is the next offset, whatever is under way."""

    def seen(ownership: keyed.Ownership[Any]) -> int | None:
        return ownership._position  # pyright: ignore[reportPrivateUsage]  # breaking it is the point

    keyed.Ownership.commit = property(seen)  # type: ignore[misc]


def ignore_the_journal() -> None:
    """Every call is made anew on a take-over, as if nothing had been recorded."""
    journal = importlib.import_module("clew.executor.journal")

    def nothing(_journal: object, _call_id: object) -> None:
        return None

    journal.RunJournal.done = nothing


MUTANTS: Final[dict[str, Mutant]] = {
    "commit-early": Mutant(frozenset({"planner", "executor"}), commit_early, frozenset({"I1", "I5"})),
    "ignore-the-journal": Mutant(frozenset({"executor"}), ignore_the_journal, frozenset({"I2", "I3"})),
}


def mutated(name: str) -> Command:
    """How to run the services with one mechanism broken; those that do not have it run as they are."""

    def command(service: str) -> tuple[str, ...]:
        if service in MUTANTS[name].services:
            return "-m", "tests.chaos.mutants", name, service
        return plain(service)

    return command


def main() -> None:
    name, service = sys.argv[1:]
    MUTANTS[name].apply()
    runpy.run_module(f"clew.{service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
