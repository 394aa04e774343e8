"""Long-term memory: facts about a user that outlive the conversation they came from."""

from collections.abc import Iterable
from typing import Literal, TypeAlias
from uuid import UUID

from clew.contracts.envelope import Event, Text, Value

RememberedBy: TypeAlias = Literal["user", "agent"]


class FactSource(Value):
    """Where a fact was learned: the run, and the event of it that says so."""

    thread_id: UUID
    run_id: UUID
    event_id: UUID | None = None


class FactEvent(Event):
    """An event about one fact of one user, ordered with all others about that user."""

    user_id: Text
    fact_id: UUID

    @property
    def key(self) -> str:
        return self.user_id


class FactRemembered(FactEvent):
    """Something is to be remembered: the user said so, or an agent found it worth it.

    `untrusted`: the agent had read bytes from outside before it said so, and they may be in the text.
    """

    text: Text
    remembered_by: RememberedBy
    source: FactSource | None = None
    request_hash: Text | None = None
    untrusted: bool = False


class FactChanged(FactEvent):
    """The fact was put right; this is its text from now on, in the user's own words."""

    text: Text
    changed_by: Text


class FactForgotten(FactEvent):
    """The fact is gone from every view."""

    forgotten_by: Text


class RecalledFact(Value):
    """A fact as it was known when a run was planned. `untrusted`: bytes from outside may be in it."""

    fact_id: UUID
    text: Text
    untrusted: bool = False


def lines_of(facts: Iterable[RecalledFact]) -> str:
    """Facts as data for a prompt: one to a line, and none can close the tag that they stand in."""
    return "\n".join(f"- {' '.join(fact.text.split())}" for fact in facts).replace("</", "< /")
