"""Long histories: which part a summary stands for, which summary is used, and what a replay asks again (nothing)."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from clew.contracts.conversation import TextPart
from clew.contracts.envelope import RunEvent
from clew.contracts.execution import CallCompleted, CallStarted, HistorySummarised
from clew.executor.compaction import History, as_told, known
from clew.executor.conversation import Conversation
from clew.executor.model_policy import ModelPolicy
from clew.executor.summaries import Summariser
from clew.executor.supervisor import RunError
from clew.models import choose_model
from clew.views.models import Message, Summary
from tests.support.run_log import NOON, MemoryLog, journal_of
from tests.support.scripted_openai import Failure, ScriptedOpenAI, Text


def run(n: int) -> UUID:
    return UUID(int=n)


def said(n: int, role: str, size: int = 100) -> Message:
    text = f"{role} {n} ".ljust(size, "x")
    content = (TextPart(text=text),)
    fields = {"message_id": run(n), "run_id": run(n), "role": role, "text": text, "content": content, "revision": 1}
    return Message.model_validate({**fields, "created_at": NOON})


def talk(turns: int, size: int = 100) -> list[Message]:
    return [said(n, role, size) for n in range(1, turns + 1) for role in ("user", "assistant")]


def summary(of: int, made_by: int, text: str = "short") -> Summary:
    return Summary(run_id=run(made_by), first_run_id=run(1), last_run_id=run(of), summary=text)


def told(history: History) -> tuple[str | None, list[int]]:
    return history.summary, [message.run_id.int for message in history.messages]


def test_the_oldest_turns_are_summarised_so_that_half_of_the_room_is_left() -> None:
    assert {message.run_id.int for message in History(talk(10)).oldest(1000)} == {1, 2, 3, 4, 5}
    assert {message.run_id.int for message in History(talk(3, size=900)).oldest(1000)} == {1}, "never less than a turn"
    assert len(History(talk(1)).oldest(150)) == 2, "and never half of one"


def test_the_summary_that_stands_for_most_of_the_path_is_used() -> None:
    made = [summary(2, made_by=3), summary(4, made_by=5, text="longer"), summary(1, made_by=2)]
    assert told(known(talk(6), made)) == ("longer", [5, 5, 6, 6])
    assert told(known(talk(6), [])) == (None, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])


def test_of_two_summaries_of_the_same_range_the_newest_is_used() -> None:
    assert told(known(talk(4), [summary(2, 3, "old"), summary(2, 4, "new")]))[0] == "new"


def test_a_summary_that_another_branch_made_is_not_used() -> None:
    """It may come while the run is under way, and a replay would tell the model something else."""
    assert known(talk(4), [summary(2, made_by=9)]).summary is None


def test_a_summary_is_not_used_where_a_fork_answered_in_its_runs_place() -> None:
    path = [said(1, "user"), said(1, "assistant"), said(2, "user"), said(7, "assistant"), said(8, "user")]
    assert known(path, [summary(2, made_by=8)]).summary is None
    assert told(known(path, [summary(7, made_by=8)])) == ("short", [8])


def test_a_summary_is_told_as_one_before_what_was_said_after_it() -> None:
    messages = as_told(History(talk(1), "They spoke of boats."))
    words = [getattr(part, "content", "") for message in messages for part in message.parts]
    assert words[0] == '<summary of="the conversation until here">\nThey spoke of boats.\n</summary>'
    assert [message.kind for message in messages] == ["request", "response"] * 2
    assert str(words[2]).startswith("user 1")


async def summarised(
    model: ScriptedOpenAI, messages: Sequence[Message], limit: int, past: Sequence[RunEvent] = ()
) -> tuple[History, MemoryLog]:
    log, choice = MemoryLog(), choose_model(model.environment())
    journal = journal_of(log, past=past)
    history = await Summariser(journal, choice.model, ModelPolicy(attempts=1), limit).told(Conversation(messages))
    await journal.settled()
    return history, log


async def test_a_history_that_is_too_long_is_summarised_by_an_event_of_the_run(scripted_openai: ScriptedOpenAI) -> None:
    scripted_openai.script(Text("They counted."))
    history, log = await summarised(scripted_openai, talk(8), limit=1000)
    assert told(history) == ("They counted.", [6, 6, 7, 7, 8, 8])
    assert log.kinds == ["call-started", "call-completed", "history-summarised"]
    [made] = [event for event in log.run if isinstance(event, HistorySummarised)]
    assert (made.first_run_id.int, made.last_run_id.int, made.summary) == (1, 5, "They counted.")
    [asked] = scripted_openai.requests
    assert "user 5 " in str(asked.messages)
    assert "user 6 " not in str(asked.messages)
    [start] = [event for event in log.run if isinstance(event, CallStarted)]
    assert "user 1 " not in str(start.request), "the views have the messages; the journal does not repeat them"
    [end] = [event for event in log.run if isinstance(event, CallCompleted)]
    assert end.usage is not None
    assert end.usage.requests == 1


async def test_a_history_that_fits_is_told_as_it_was_said(scripted_openai: ScriptedOpenAI) -> None:
    history, log = await summarised(scripted_openai, talk(5), limit=1000)
    assert told(history) == (None, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    assert not log.run


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
async def test_a_run_cut_off_anywhere_comes_to_the_same_history_and_asks_for_nothing_twice(
    scripted_openai: ScriptedOpenAI, cut: int
) -> None:
    scripted_openai.script(Text("They counted."))
    whole, log = await summarised(scripted_openai, talk(8), limit=1000)
    scripted_openai.reset()
    scripted_openai.script(Text("They counted."))
    again, rest = await summarised(scripted_openai, talk(8), 1000, log.run[:cut])
    assert told(again) == told(whole)
    assert len(scripted_openai.requests) == (1 if cut < 2 else 0)
    assert rest.kinds[-1:] == ([] if cut == 3 else ["history-summarised"])


async def test_what_is_too_long_for_one_request_is_summarised_in_several(scripted_openai: ScriptedOpenAI) -> None:
    scripted_openai.script(*(Text(f"summary {n}") for n in range(9)))
    history, log = await summarised(scripted_openai, [*talk(20), said(21, "user", 5000)], limit=1000)
    made = [event for event in log.run if isinstance(event, HistorySummarised)]
    assert [event.last_run_id.int for event in made] == [5, 10, 15, 20, 21]
    assert {event.first_run_id.int for event in made} == {1}
    assert told(history) == ("summary 4", [])
    assert all(len(str(request.messages)) < 3000 for request in scripted_openai.requests)
    assert "summary 0" in str(scripted_openai.requests[1].messages)


async def test_a_model_that_gives_no_summary_fails_the_run_with_its_reason(scripted_openai: ScriptedOpenAI) -> None:
    scripted_openai.script(Failure(400))
    with pytest.raises(RunError, match="could not be summarised") as failed:
        await summarised(scripted_openai, talk(10), limit=1000)
    assert failed.value.reason == "model"
