"""Every mutant finds the mechanism that it breaks, in a process of its own."""

import subprocess
import sys

from tests.chaos.fleet import COUNTS, plain
from tests.chaos.mutants import MUTANTS, mutated
from tests.chaos.oracle.invariants import INVARIANTS

ALL = "from tests.chaos.mutants import MUTANTS\nfor mutant in MUTANTS.values(): mutant.apply()"


def test_every_mechanism_is_where_its_mutant_looks_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", ALL], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_services_that_have_the_mechanism_are_broken() -> None:
    for name, mutant in MUTANTS.items():
        assert mutant.services <= set(COUNTS)
        assert mutant.breaks <= set(INVARIANTS)
        for service in COUNTS:
            assert (mutated(name)(service) == plain(service)) == (service not in mutant.services)
