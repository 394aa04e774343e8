"""Conversations that a client keeps itself and sends whole, as the OpenAI and AG-UI protocols have it.

A thread here holds what was really said and answered in it, and nobody can write an answer but the executor. So what a
client tells of an earlier conversation is carried inside the content of its first message, quoted and named as what it
is: the client's word. In a thread that is known here, only what is new is taken. Pure: no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clew.gateway.errors import Invalid
from clew.gateway.schemas import MessageCreate, TextPart

INSTRUCTIONS = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as the client has it."""

    role: str
    text: str


def message_of(turns: Sequence[Turn], *, known_thread: bool, model: str | None = None) -> MessageCreate:
    """The message that goes on with the conversation. Invalid when the last word is not the user's."""
    if not turns or turns[-1].role != "user":
        raise Invalid.field("#/messages", "the last message must be the user's")
    answered = max((i for i, turn in enumerate(turns) if turn.role not in ("user", *INSTRUCTIONS)), default=-1)
    told = turns[answered + 1 :] if known_thread else turns
    first_new = next(i for i in range(len(told), 0, -1) if i == 1 or told[i - 2].role != "user") - 1
    parts: list[TextPart] = []
    if rules := [turn for turn in told if turn.role in INSTRUCTIONS]:
        parts.append(_part("Instructions from the client:", "\n\n".join(_quoted(turn.text) for turn in rules)))
    if before := [turn for turn in told[:first_new] if turn.role not in INSTRUCTIONS]:
        said = "\n\n".join(f"{turn.role}:\n{_quoted(turn.text)}" for turn in before)
        parts.append(_part("Earlier in this conversation, as the client tells it:", said))
    parts += [TextPart(type="text", text=turn.text) for turn in told[first_new:]]
    return MessageCreate(content=tuple(parts), model=model)


def _part(heading: str, text: str) -> TextPart:
    return TextPart(type="text", text=f"{heading}\n\n{text}\n\n")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))
