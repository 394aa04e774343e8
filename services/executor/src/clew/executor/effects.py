"""What a tool declares of its effects, and what may be done with a call of it that nobody knows the end of.

Values only: `tool_calls` acts on them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from pydantic import JsonValue

from clew.contracts.envelope import JsonObject
from clew.contracts.execution import EffectPolicy

Approval: TypeAlias = Literal["always", "untrusted", "never"]
"""When a person is asked before a call: each time; when it has effects and the model read untrusted content; never."""


@dataclass(frozen=True, slots=True)
class Happened:
    """The effect took place, and this was its result. `done(result)` makes one."""

    result: JsonValue


@dataclass(frozen=True, slots=True)
class _NotHappened:
    """The effect did not take place: the call may be made."""


@dataclass(frozen=True, slots=True)
class _Unknown:
    """The outside cannot say: a person has to."""


Reconciled: TypeAlias = Happened | _NotHappened | _Unknown
Reconcile: TypeAlias = Callable[[JsonObject, str], Reconciled | Awaitable[Reconciled]]
"""Asks the outside whether a call with these arguments and this idempotency key took effect."""

not_done = _NotHappened()
unknown = _Unknown()


def done(result: JsonValue = None) -> Happened:
    """The effect took place, with this result."""
    return Happened(result)


@dataclass(frozen=True, slots=True)
class ToolTraits:
    """What the engine must know of a tool.

    `untrusted`: its results hold bytes from outside. `reconcile` belongs to the policy of that name. `container`: it
    only encloses other calls (it runs an agent), so that it is no call itself and is entered again by a replay.
    """

    policy: EffectPolicy = "ask"
    untrusted: bool = False
    timeout: timedelta = timedelta(minutes=1)
    approval: Approval = "untrusted"
    reconcile: Reconcile | None = None
    container: bool = False

    @property
    def outward(self) -> bool:
        """Whether a call does something outside of the run."""
        return self.policy != "pure" and self.approval != "never"

    def needs_approval(self, untrusted_context: bool) -> bool:
        if self.approval == "untrusted":
            return untrusted_context and self.policy != "pure"
        return self.approval == "always"
