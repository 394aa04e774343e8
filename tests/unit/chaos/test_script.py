"""The scripted model answers from the conversation alone, and counts what it was asked."""

from typing import Any

from clew.planner.drafts import PlanDraft, plan_of
from tests.chaos.script import Script, ScriptedModel, StepScript, script_in
from tests.support.scripted_openai import ChatRequest, Delayed, Failure, Reply, Text, ToolCalls

SCRIPT = Script(
    token="t1",
    steps=(
        StepScript(step_id="one", rounds=(("look",), ("put", "post"))),
        StepScript(step_id="two", rounds=(), after=("one",)),
    ),
)


def ask(model: ScriptedModel, *messages: dict[str, str], tools: str = "look") -> Reply:
    tool: dict[str, Any] = {"type": "function", "function": {"name": "final_result", "parameters": tools}}
    return model(ChatRequest({"messages": list(messages), "tools": [tool]}, {}))


def said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def planned(model: ScriptedModel) -> list[dict[str, Any]]:
    reply = ask(model, said(f"<request>\n{SCRIPT.text}\n</request>"), tools="rationale")
    assert isinstance(reply, ToolCalls)
    return reply.calls[0].arguments["steps"]


def step(model: ScriptedModel, place: int) -> dict[str, str]:
    """What an agent is told of a step: the whole message comes before its instructions."""
    return said(f"<request>\n{SCRIPT.text}\n</request>\n<instructions>\n{planned(model)[place]['instructions']}\n")


RESULT = {"role": "tool", "content": "done"}


def test_a_message_holds_its_script() -> None:
    assert script_in(SCRIPT.text) == SCRIPT
    assert script_in("hello") is None


def test_the_plan_is_the_scripts_and_one_that_the_planner_takes() -> None:
    plan = plan_of(PlanDraft.model_validate({"steps": planned(ScriptedModel())}))
    assert [(s.step_id, s.tools, s.depends_on) for s in plan.steps] == [
        ("one", ("look", "post", "put"), ()),
        ("two", (), ("one",)),
    ]


def test_the_answer_follows_from_how_many_results_there_are() -> None:
    model = ScriptedModel()
    told = step(model, 0)
    tokens: list[list[str]] = []
    for results in (0, 1):
        reply = ask(model, told, *[RESULT] * results)
        assert isinstance(reply, Delayed)
        assert isinstance(reply.reply, ToolCalls)
        tokens.append([call.arguments["token"] for call in reply.reply.calls])
    assert tokens == [["t1/one/0.0"], ["t1/one/1.0", "t1/one/1.1"]]
    last = ask(model, told, *[RESULT] * 3)
    assert isinstance(last, Delayed)
    assert isinstance(last.reply, Text)
    assert [(asked.token, asked.step_id, asked.round) for asked in model.asked] == [("t1", "one", n) for n in range(3)]


def test_what_people_say_later_changes_no_answer() -> None:
    model = ScriptedModel()
    reply = ask(model, step(model, 0), RESULT, said("and another thing"))
    assert isinstance(reply, Delayed)
    assert [asked.round for asked in model.asked] == [1]


def test_half_a_round_of_results_is_refused() -> None:
    model = ScriptedModel()
    assert isinstance(ask(model, step(model, 0), RESULT, RESULT), Failure)
    assert model.asked == []
