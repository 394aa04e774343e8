"""The title of a conversation: the first words of its first message. No model is asked, so it is the same every time,
and it is there from the beginning of the first run, however long that takes and however it ends."""

from clew.contracts.conversation import text_of
from clew.contracts.execution import ThreadTitled
from clew.contracts.planning import PlanCreated
from clew.executor.journal import RunJournal

LONGEST = 60  # characters: a line in a list of conversations


async def give_title(plan: PlanCreated, journal: RunJournal) -> None:
    """Titles the thread that a run begins, once. What a person called it goes before this title, in the views."""
    begins = plan.parent_run_id is None and plan.parent_call is None
    title = title_of(text_of(plan.content))
    if begins and title and not journal.record.titled:
        await journal.append(lambda s: ThreadTitled(**s, title=title))


def title_of(text: str) -> str:
    """The first line that has words, cut behind a word where it is long; empty when there is none."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    if len(line) <= LONGEST:
        return line
    cut = line[:LONGEST]
    whole = cut.rsplit(" ", 1)[0] if " " in cut else cut
    return whole.rstrip(" ,;:-–—") + "…"
