"""Recorded runs under another configuration: what is reused, what is asked, what never runs, and how it is compared."""

import re
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from clew.cli.main import clew, invoke
from clew.contracts.planning import PlanCreated
from clew.executor.tools import ToolRegistry, builtin_tools, tool
from clew.models import ModelChoice
from clew.replay.errors import Truncated
from clew.replay.lab.comparison import Judgement, compared
from clew.replay.lab.intervals import mean, share
from clew.replay.lab.journal import Allowance
from clew.replay.lab.judge import judged, turned_round, understood
from clew.replay.lab.planning import confidence, planned_again
from clew.replay.lab.report import page
from clew.replay.lab.trial import Configuration, Trial, tried
from clew.replay.recording import read
from tests.support.lives import with_child
from tests.support.recordings import MODEL, Script, Turn, calls, recorded, scripted
from tests.support.run_log import planned, step

HISTORIES = Path(__file__).parents[2] / "replay/histories"
THEIR_TOOLS = {"CLEW_TOOLS_PATH": str(HISTORIES.parent / "tools")}
RAN: list[str] = []


@tool(policy="idempotent", timeout=timedelta(seconds=5))
def deliver(parcel: str) -> str:
    """Delivers a parcel.

    Args:
        parcel: What to deliver.
    """
    RAN.append(parcel)
    return f"{parcel} is delivered"


def tools() -> ToolRegistry:
    registry = builtin_tools()
    registry.add(deliver)
    return registry


def plan() -> PlanCreated:
    return planned(step("work", tools=("deliver", "calculator")))


def script(prompt: str) -> list[Turn]:
    return [calls("deliver", parcel="box"), calls("calculator", expression="2 + 2"), "It is delivered."]


def delivers(parcel: str, answer: str) -> Script:
    def turns(_: str) -> list[Turn]:
        return [calls("deliver", parcel=parcel), answer]

    return turns


async def trial(
    asked: Script, allowance: Allowance, instructions: str | None = None, allowed: frozenset[str] = frozenset()
) -> Trial:
    """The recorded run again, with a model that follows `asked`."""
    recording = await recorded(plan(), script, tools())
    RAN.clear()
    model = ModelChoice(scripted(asked), MODEL, offline=True, banner=None)
    configuration = Configuration(None, instructions, tools(), allowed, requests=8)
    return await tried("one.jsonl", recording, configuration, model, allowance)


async def test_what_is_asked_the_same_is_answered_from_the_record_and_nothing_runs() -> None:
    done = await trial(delivers("never", "asked"), Allowance(0))
    assert (done.answer_equal, done.tools_equal, done.misses) == (True, True, ())
    assert (done.now.answer, done.reused) == ("It is delivered.", 5)
    assert done.now.usage == done.was.usage
    assert done.now.seconds == pytest.approx(done.was.seconds)
    assert RAN == []


async def test_a_changed_instruction_has_the_model_asked_and_tools_answered_from_the_record() -> None:
    allowance = Allowance(9)
    done = await trial(delivers("box", "Done."), allowance, "Be brief.")
    assert (done.now.answer, done.answer_equal, done.tools_equal) == ("Done.", False, False)
    assert (allowance.made, done.reused, done.misses) == (2, 1, ())
    assert done.now.tools == ('deliver({"parcel": "box"})',)
    assert RAN == []


async def test_a_call_that_was_never_recorded_is_told_so_and_does_not_run() -> None:
    done = await trial(delivers("another", "Done."), Allowance(9), "Be brief.")
    assert done.misses == ("deliver",)
    assert RAN == []


async def test_a_tool_that_is_allowed_runs_where_the_record_has_no_answer() -> None:
    done = await trial(delivers("another", "Done."), Allowance(9), "Be brief.", frozenset({"deliver"}))
    assert (done.now.answer, RAN) == ("Done.", ["another"])


async def test_no_more_requests_are_made_than_are_allowed() -> None:
    for most in (0, 1):
        allowance = Allowance(most)
        done = await trial(delivers("box", "Done."), allowance, "Be brief.")
        assert (done.now.answer, allowance.made) == (None, most)
        assert "BudgetExceeded" in str(done.now.error)


def no_task(asked: list[str]) -> FunctionModel:
    """A planner's model that takes nothing for a task."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(str(messages[-1].parts[-1]))
        [output] = info.output_tools
        return ModelResponse(parts=[ToolCallPart(output.name, {"actionable": False, "confidence": 0.75})])

    return FunctionModel(answer)


async def test_a_plan_is_made_anew_from_the_record_while_the_planner_asks_the_same() -> None:
    recording = read((HISTORIES / "flights.jsonl").read_text())
    asked: list[str] = []
    model = ModelChoice(no_task(asked), MODEL, offline=True, banner=None)
    same = await planned_again(recording, model, changed=False, allowance=Allowance(0))
    assert recording.plan is not None
    assert (same.plan.plan, same.reused, asked) == (recording.plan.plan, 2, [])
    assert confidence(same.plan) == confidence(recording.plan) is not None


async def test_another_model_plans_otherwise_and_is_really_asked() -> None:
    recording = read((HISTORIES / "flights.jsonl").read_text())
    asked: list[str] = []
    model = ModelChoice(no_task(asked), MODEL, offline=True, banner=None)
    allowance = Allowance(1)
    other = await planned_again(recording, model, changed=True, allowance=allowance)
    assert ([step.step_id for step in other.plan.plan.steps], other.reused) == (["respond"], 0)
    assert (len(asked), allowance.made, confidence(other.plan)) == (1, 1, 0.75)
    refused = await planned_again(recording, model, changed=True, allowance=Allowance(0))
    assert "a real answer of a model" in str(refused.error)


def judge(says: str, shown: list[str]) -> FunctionModel:
    async def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        shown.append(str(messages[0].parts[1].content))  # type: ignore[union-attr]  # a prompt's parts have content
        return ModelResponse(parts=[TextPart(says)])

    return FunctionModel(answer)


async def test_a_judge_is_asked_about_answers_that_differ_and_not_told_which_is_new() -> None:
    done = await trial(delivers("box", "Done."), Allowance(9), "Be brief.")
    shown: list[str] = []
    allowance = Allowance(1)
    said = await judged(done, judge("A\nIt says more.", shown), allowance)
    assert said == Judgement("better" if turned_round(done) else "worse", "It says more.")
    assert (allowance.made, "recorded" in shown[0], "new" in shown[0]) == (1, False, False)
    assert (await judged(done, judge("A", shown), allowance)).verdict == "unclear", "nothing is left to ask with"
    equal = await trial(script, Allowance(0))
    assert (await judged(equal, judge("A", shown), Allowance(0))).verdict == "same"


def test_a_judges_words_are_understood_or_unclear() -> None:
    assert understood("**B**\nshorter", turned=False) == Judgement("better", "shorter")
    assert understood("SAME", turned=True) == Judgement("same", "")
    assert understood("I think A is better", turned=False).verdict == "unclear"


def test_intervals_are_those_of_the_books_and_the_same_each_time() -> None:
    eight = share(8, 10)
    assert eight is not None
    assert (round(eight.low, 3), round(eight.high, 3)) == (0.490, 0.943)
    assert share(0, 0) is None
    assert mean([1.0]) is None
    sure, unsure = mean([1.0, 2.0, 3.0, 2.0]), mean([-1.0, 2.0, 0.5, -2.0])
    assert sure == mean([1.0, 2.0, 3.0, 2.0])
    assert sure is not None
    assert unsure is not None
    assert (sure.value, sure.sure, unsure.sure) == (2.0, True, False)


async def test_the_report_needs_nothing_else_and_its_plots_are_svg() -> None:
    done = await trial(delivers("<script>x()</script>", "Done <b>."), Allowance(9), "Be brief.")
    judgement = Judgement("worse", "it says less")
    html = page([done, done], [judgement, judgement], compared([done, done], [judgement, judgement]), {"model": "m"})
    plots = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    assert len(plots) == 4, "the shares, and tokens, requests and seconds: the model has no price"
    assert not re.findall(r"(?:src|href)=|<script|@import|url\(", html)
    assert "Done &lt;b&gt;." in html
    assert "&lt;script&gt;x()" in html
    assert "judged worse: it says less" in html


def test_the_command_says_first_what_it_reuses_and_makes(tmp_path: Path) -> None:
    report = tmp_path / "lab.html"
    done = CliRunner().invoke(clew, ["lab", str(HISTORIES), "--html", str(report)], env=THEIR_TOOLS)
    assert done.exit_code == 0
    assert re.search(
        r"up to \d+ recorded answers of models and \d+ of tools are reused, no model is asked", done.stderr
    )
    assert "cut-off.jsonl is left out" in done.stderr
    assert "tools.jsonl\t\tequal\tequal" in done.stdout
    assert report.read_text().startswith("<!doctype html>")


def test_the_command_makes_plans_anew_and_takes_a_sample() -> None:
    arguments = ["lab", str(HISTORIES), "--plan", "--sample", "3"]
    done = CliRunner().invoke(clew, arguments, env=THEIR_TOOLS)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[1:4] for row in rows if row[0].endswith(".jsonl")] == [["equal"] * 3] * 3
    assert "equal plans" in done.stdout
    assert done.exit_code == 0


async def test_a_child_run_counts_with_what_it_took_when_it_ran() -> None:
    recording = await with_child("completed")
    model = ModelChoice(scripted(script), MODEL, offline=True, banner=None)
    configuration = Configuration(None, None, builtin_tools(), frozenset(), requests=8)
    done = await tried("one.jsonl", recording, configuration, model, Allowance(0))
    assert (done.now.usage.requests, done.now.usage) == (3, done.was.usage)


def test_a_folder_and_a_moment_are_not_named_together() -> None:
    for arguments in ([], [str(HISTORIES), "--since", "1h"]):
        assert CliRunner().invoke(clew, ["lab", *arguments]).exit_code == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text((HISTORIES / "sum.jsonl").read_text())
    (tmp_path / "half.jsonl").write_text((HISTORIES / "sum.jsonl").read_text()[:-30])
    assert invoke(["lab", str(tmp_path)]) == 11
    with pytest.raises(Truncated, match=r"half\.jsonl: the recording has"):
        CliRunner().invoke(clew, ["lab", str(tmp_path)], catch_exceptions=False)


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    done = CliRunner().invoke(clew, ["lab", str(HISTORIES), "--html", str(tmp_path / "none" / "lab.html")])
    assert (done.exit_code, "reused" in done.stderr) == (2, False)


def test_instructions_that_are_no_text_are_refused_and_their_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    done = CliRunner().invoke(clew, ["lab", str(HISTORIES), "--instructions", str(tmp_path / "latin.md")])
    assert (done.exit_code, "latin.md cannot be read" in done.stderr) == (2, True)


def test_a_judge_without_leave_to_ask_is_refused() -> None:
    done = CliRunner().invoke(clew, ["lab", str(HISTORIES), "--judge", "openai:x"])
    assert (done.exit_code, "--live" in done.stderr) == (2, True)
