"""`clew run view`, `clew run why` and `clew thread view` against a scripted gateway that folds as the real one does."""

import json

import pytest

from tests.unit.cli.moments import RUN, THREAD, page, records, state_json, timeline_json, void
from tests.unit.cli.scripted_gateway import ScriptedGateway, clew, ok, problem, run_json

Capture = pytest.CaptureFixture[str]
STATE, EVENTS = f"GET /v1/runs/{RUN}/state", f"GET /v1/runs/{RUN}/events"
OTHER = "0198c0de-0000-7000-8000-00000000000f"


def scripted(gateway: ScriptedGateway, seq: int | None = None) -> None:
    gateway.on(STATE, ok(state_json(seq)))
    gateway.on(EVENTS, ok(page()))
    gateway.on(f"GET /v1/runs/{RUN}/timeline", ok(timeline_json()))
    gateway.on(f"GET /v1/runs/{RUN}/records", ok(records()))
    gateway.on(f"GET /v1/runs/{RUN}/void", ok(void()))


async def test_a_moment_is_shown_with_plan_calls_and_take_overs(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    done = await clew(gateway.url, capsys, "run", "view", RUN)
    assert done.code == 0
    assert "status  completed" in done.out
    assert "prompts analyst@9f86d081, assistant@9f86d081" in done.out
    assert "✓ 1. Work it out (analyst; completed)" in done.out
    assert '#6 calculator(e="2+2") → 4 [2 ms]' in done.out
    assert "#7 resumed: taken over by another executor (attempt 1)" in done.out
    assert "\x1b" not in done.out


async def test_a_moment_in_the_middle_shows_what_was_open_then(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway, 4)
    done = await clew(gateway.url, capsys, "run", "view", RUN, "--at", "4")
    assert gateway.of(STATE)[0].query == {"at": "4", "conversations": "false"}
    assert "▸ 1. Work it out" in done.out
    assert "#4 model offline → …" in done.out
    assert "resumed" not in done.out


async def test_a_time_is_the_last_event_by_then(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway, 3)
    at = page()["items"][3]["occurred_at"]
    await clew(gateway.url, capsys, "run", "view", RUN, "--at", at)
    assert gateway.of(STATE)[0].query["at"] == "3"


async def test_full_shows_what_the_model_read(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    done = await clew(gateway.url, capsys, "run", "view", RUN, "--full")
    assert "asked [user-prompt] Calculate." in done.out
    assert "key work.1/analyst/tool/1/c1" in done.out


async def test_json_is_the_answer_of_the_api(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    assert json.loads((await clew(gateway.url, capsys, "run", "view", RUN, "--json")).out) == state_json()


async def test_raw_prints_each_event_with_its_place_and_what_does_not_count(
    gateway: ScriptedGateway, capsys: Capture
) -> None:
    scripted(gateway)
    told = (await clew(gateway.url, capsys, "run", "view", RUN, "--raw", "--at", "2")).out.splitlines()
    lines = [json.loads(line) for line in told]
    assert [(line["topic"], line["offset"], line.get("seq")) for line in lines] == [
        ("user-messages", 7, 0),
        ("plans", 7, 1),
        ("task-updates", 99, None),
        ("task-updates", 100, 2),
    ]
    assert [line["void"] for line in lines if line["void"]] == [{"claim": "a1b2c3d4e5", "claim_in_force": "f6a7b8c9d0"}]
    shown = await clew(gateway.url, capsys, "run", "view", RUN)
    assert "task-updates/3/99 call-completed does not count: written under the claim a1b2c3d4 when" in shown.out
    assert (await clew(gateway.url, capsys, "run", "view", RUN, "--raw", "--at", "99")).code == 6


async def test_piped_nothing_is_cut_however_long_it_is(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    calls = [{**call, "name": "n" * 300} for call in state_json()["calls"]]
    long = state_json() | {"output": None, "calls": calls}
    gateway.on(STATE, ok(long))
    out = (await clew(gateway.url, capsys, "run", "view", RUN)).out
    assert "n" * 300 in out


async def test_the_timeline_draws_work_and_waiting(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    out = (await clew(gateway.url, capsys, "run", "view", RUN, "--timeline")).out
    assert "waits for plan" in out
    assert "█" in out
    assert "    calculator" in out


async def test_what_is_not_there_has_exit_codes_of_its_own(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(STATE, problem(404, "Not Found", "no run"))
    unknown = await clew(gateway.url, capsys, "run", "view", RUN)
    assert (unknown.code, unknown.out) == (5, "")
    assert f"there is no run {RUN}" in unknown.err
    wrong = [{"pointer": "query/at", "detail": "the run has the events 0 to 15"}]
    gateway.on(STATE, problem(422, "Unprocessable Content", errors=wrong))
    late = await clew(gateway.url, capsys, "run", "view", RUN, "--at", "99")
    assert (late.code, late.out) == (6, "")
    assert "there is no event 99: the run has the events 0 to 15" in late.err
    gateway.on(EVENTS, ok(page()))
    assert (await clew(gateway.url, capsys, "run", "view", RUN, "--at", "1999-01-01T00:00:00Z")).code == 6
    assert (await clew(gateway.url, capsys, "run", "view", RUN, "--at", "noon")).code == 2


async def test_a_call_is_followed_back_to_the_message(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    done = await clew(gateway.url, capsys, "run", "why", RUN, "work.1/analyst/model/2/0", "--json")
    causes = [json.loads(line) for line in done.out.splitlines()]
    assert [(cause["what"], cause["seq"]) for cause in causes] == [
        ("model", 8),
        ("tool", 6),
        ("model", 4),
        ("step", None),
        ("plan", 1),
        ("message", 0),
    ]
    assert causes[-1]["text"] == "What is 2 + 2? (from ada)"


async def test_a_later_step_is_led_back_through_the_one_before(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    out = (await clew(gateway.url, capsys, "run", "why", RUN, "#12")).out
    assert "step     Work it out (analyst): Calculate. → 4" in out
    assert (await clew(gateway.url, capsys, "run", "why", RUN, "nothing")).code == 5


async def test_the_tree_of_a_thread_shows_answers_and_forks(gateway: ScriptedGateway, capsys: Capture) -> None:
    runs = [run_json(output="four"), run_json() | {"id": OTHER, "forked_from": run_json()["id"]}]
    gateway.on(f"GET /v1/threads/{THREAD}", ok({"id": THREAD, "title": "Sums", "current_run_id": OTHER}))
    gateway.on(f"GET /v1/threads/{THREAD}/runs", ok({"items": runs, "next": None}))
    out = (await clew(gateway.url, capsys, "thread", "view", THREAD)).out.splitlines()
    assert out[0] == f"thread {THREAD}: Sums"
    assert out[1].endswith("completed  four")
    assert out[2].strip(" └─") == f"{OTHER} completed (fork) ← newest"
    assert (await clew(gateway.url, capsys, "thread", "view", OTHER)).code == 5


async def test_two_runs_are_compared_call_by_call(gateway: ScriptedGateway, capsys: Capture) -> None:
    scripted(gateway)
    other = state_json(13) | {"output": "It is 5."}
    gateway.on(f"GET /v1/runs/{OTHER}/state", ok(other))
    out = (await clew(gateway.url, capsys, "run", "diff", RUN, OTHER)).out.splitlines()
    assert "= call work.1/analyst/tool/1/c1" in out
    assert out[out.index("≠ run status") + 1 :][:2] == ["  - completed", "  + running"]
    assert out[out.index("≠ answer output") + 1 :] == ["  - It is 4.", "  + It is 5."]
    told = (await clew(gateway.url, capsys, "run", "diff", RUN, OTHER, "--json")).out.splitlines()
    assert {pair["name"] for pair in map(json.loads, told) if not pair["equal"]} >= {"status", "output", "answer"}
