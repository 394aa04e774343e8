"""What of a long history goes to the model as it was said, and which part a summary stands for. Pure.

A summary is used when the run that made it lies on the path, or is this run itself: those of the path are complete
before a run begins, so that the choice is the same in every execution. Asking for summaries is `summaries`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from clew.contracts.execution import HistorySummarised
from clew.executor.conversation import as_history
from clew.views.models import Message, Summary

LONGEST_HISTORY = 240_000  # characters, about 60,000 tokens: half of what most models hold
READ = "(I have read the summary.)"


@dataclass(frozen=True, slots=True)
class History:
    """A summary of what is no longer told word by word, if any, and the messages after it, oldest first. `untrusted`:
    bytes from outside went into what the summary stands for."""

    messages: Sequence[Message]
    summary: str | None = None
    untrusted: bool = False

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.summary or "") + sum(len(message.text) for message in self.messages)

    def after(self, made: Summary | HistorySummarised) -> "History | None":
        """The history with everything up to a run told by a summary; None where no turn of it ends with that run."""
        ends = [end for end in _turns(self.messages) if self.messages[end - 1].run_id == made.last_run_id]
        return History(self.messages[ends[-1] :], made.summary, made.untrusted) if ends else None

    def oldest(self, limit: int) -> Sequence[Message]:
        """The messages that a summary is to stand for, of a history that is too long: so many that half of `limit` is
        left for those after it, but no more than one request can hold, or else one turn."""
        rest, upto = sum(len(message.text) for message in self.messages), 0
        for end in _turns(self.messages):
            size = sum(len(message.text) for message in self.messages[upto:end])
            told = sum(len(message.text) for message in self.messages[:end])
            if upto and (rest <= limit // 2 or told > limit):
                break
            rest, upto = rest - size, end
        return self.messages[:upto]


def known(said: Sequence[Message], summaries: Iterable[Summary]) -> History:
    """The history of a path, with the summary that stands for most of it."""
    path, whole = {message.run_id for message in said}, History(said)
    usable = [made for made in summaries if made.run_id in path]
    told = [shorter for made in usable if (shorter := whole.after(made)) is not None]
    return min(reversed(told), key=lambda history: len(history.messages), default=whole)


def as_told(history: History) -> tuple[ModelMessage, ...]:
    """The history as a model is given it: the summary, labelled as one, before what was said after it."""
    said = as_history(history.messages)
    if history.summary is None:
        return said
    text = f'<summary of="the conversation until here">\n{history.summary}\n</summary>'
    before = ModelRequest(parts=[UserPromptPart(text)]), ModelResponse(parts=[TextPart(READ)])
    return (*before, *said)


def _turns(messages: Sequence[Message]) -> list[int]:
    """Where turns end: before each message of a user but the first, and at the end."""
    return [n for n, message in enumerate(messages) if n and message.role == "user"] + [len(messages)] * bool(messages)
