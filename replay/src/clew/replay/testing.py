"""What a test that `clew run to-test` wrote calls: a recording, and the code of today."""

from pathlib import Path

from clew.replay.process import Order, parsed, verdicts


def assert_replays(recording: Path, *, planning: bool = True) -> None:
    """Replays in a process of its own. AssertionError with the first difference, both sides; a `Failure` of
    `clew.replay.errors` when there is none because it cannot be replayed. `planning`: the plan is made again too."""
    __tracebackhide__ = True
    [told] = verdicts([str(recording)], Order(planning=planning))
    verdict = parsed(told)
    if verdict.difference is not None:
        raise AssertionError("\n".join(verdict.difference.lines()))
