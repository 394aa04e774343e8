"""An input is finished when its consequence was read back as valid, not when it was sent: what a zombie writes ends
nothing, and whoever owns the partition gets the input again.
"""

from collections.abc import Callable

import pytest

from clew.chassis.errors import Fenced
from clew.contracts.conversation import RunCancelRequested, RunResumeRequested, RunSteered
from clew.contracts.envelope import Event
from clew.executor.calls import Diverged
from tests.support.run_log import planned
from tests.support.run_process import Doing, hang, no_plan, running, signal


@pytest.mark.parametrize(
    "consequence_of",
    [planned, no_plan, lambda: signal(RunCancelRequested), lambda: signal(RunSteered)],
)
async def test_an_input_whose_consequence_is_void_is_not_finished(consequence_of: Callable[[], Event]) -> None:
    async with running(hang) as zombie:
        zombie.log.claim()  # by somebody else: the zombie has not read it yet
        with pytest.raises(Fenced):
            await zombie.take(consequence_of())
    assert (zombie.log.kinds, bool(zombie.log.void)) == ([], True)


async def test_a_resumption_that_is_void_has_not_finished_the_operators_word() -> None:
    async def diverge(_: Doing) -> str:
        raise Diverged("another call")

    async with running(diverge) as zombie:
        await zombie.run(planned())
        zombie.log.claim()
        with pytest.raises(Fenced):
            await zombie.take(signal(RunResumeRequested))
    assert zombie.log.kinds[-1] == "run-suspended"
    assert zombie.log.void[0].type_name() == "run-resumed"
