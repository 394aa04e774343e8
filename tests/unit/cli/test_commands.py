"""The commands against a scripted gateway: what they send, what they print, how they exit."""

import asyncio
import io
import json
from datetime import timedelta

import pytest

from clew.cli.errors import Unreachable
from clew.cli.gateway import Gateway, Patience
from clew.cli.main import invoke
from clew.local.problems import free_port
from tests.unit.cli.recorded import RUN, THREAD, event_json, whole_run
from tests.unit.cli.scripted_gateway import (
    ACCEPTED,
    ScriptedGateway,
    clew,
    hang_up,
    ok,
    problem,
    run_json,
    stream,
)

Capture = pytest.CaptureFixture[str]
POST = "POST /v1/messages"
EVENTS = f"GET /v1/runs/{RUN}/events"
GET_RUN = f"GET /v1/runs/{RUN}"


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


async def test_send_prints_the_run_and_carries_a_key(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(POST, ok(ACCEPTED, 202))
    done = await clew(gateway.url, capsys, "send", "hello")
    assert (done.code, done.out) == (0, f"{RUN}\n")
    [request] = gateway.asked
    assert request.json() == {"content": "hello"}
    assert len(request.headers["idempotency-key"]) == 32


async def test_send_takes_thread_key_model_and_token(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(f"POST /v1/threads/{THREAD}/messages", ok(ACCEPTED, 202))
    options = ["--thread", THREAD, "--key", "mine", "--model", "openai-chat:x", "--json"]
    done = await clew(gateway.url, capsys, "--token", "clew_abc", "send", "hello", *options)
    assert json.loads(done.out) == ACCEPTED
    [request] = gateway.asked
    assert request.headers["idempotency-key"] == "mine"
    assert request.headers["authorization"] == "Bearer clew_abc"
    assert request.json() == {"content": "hello", "model": "openai-chat:x"}


async def test_send_reads_stdin(gateway: ScriptedGateway, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.on(POST, ok(ACCEPTED, 202))
    stdin(monkeypatch, "Grüße\nvon stdin\n".encode())
    assert (await clew(gateway.url, capsys, "send", "-")).code == 0
    assert gateway.asked[0].json() == {"content": "Grüße\nvon stdin\n"}


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
async def test_nothing_and_what_is_no_text_is_not_sent(
    gateway: ScriptedGateway, capsys: Capture, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    stdin(monkeypatch, content)
    assert (await clew(gateway.url, capsys, "send", "-")).code == 2
    assert gateway.asked == []


async def test_send_wait_prints_the_answer_and_nothing_else(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(POST, ok(ACCEPTED, 202))
    gateway.on(EVENTS, stream(whole_run()[1:5], cut=True), stream(whole_run()[5:]))
    gateway.on(GET_RUN, ok(run_json(output="Take the \x1b[31mearly one.")))
    done = await clew(gateway.url, capsys, "send", "--wait", "hello")
    assert (done.code, done.out) == (0, "Take the ␛[31mearly one.\n")
    assert "going on from there" in done.err
    assert gateway.of(EVENTS)[0].headers["last-event-id"] == ACCEPTED["cursor"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_send_wait_says_so_when_there_is_no_answer(
    gateway: ScriptedGateway, capsys: Capture, status: str
) -> None:
    gateway.on(POST, ok(ACCEPTED, 202))
    gateway.on(EVENTS, stream([event_json(f"run.{status}", 3, reason="model", error="overloaded")]))
    gateway.on(GET_RUN, ok(run_json(status, error={"reason": "model", "detail": "overloaded"})))
    done = await clew(gateway.url, capsys, "send", "--wait", "hello")
    assert (done.code, done.out) == (1, "")
    assert status in done.err
    assert "overloaded" in done.err


async def test_send_wait_does_not_wait_for_a_person(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(POST, ok(ACCEPTED, 202))
    timer = event_json("run.suspended", 3, reason="timer", detail=None)
    gateway.on(EVENTS, stream([timer, event_json("run.suspended", 4, reason="approval", detail="pay?")]))
    gateway.on(GET_RUN, ok(run_json("suspended", ended_at=None)))
    done = await clew(gateway.url, capsys, "send", "--wait", "--json", "hello")
    assert done.code == 1
    assert json.loads(done.out)["status"] == "suspended"


async def test_a_message_whose_outcome_is_unknown_is_repeated_under_its_key(
    gateway: ScriptedGateway, capsys: Capture
) -> None:
    unknown = problem(503, "Service Unavailable", "no ack", {"retry-after": "1"}, outcome="unknown", run_id=RUN)
    gateway.on(POST, hang_up, unknown, ok(ACCEPTED, 202))
    assert (await clew(gateway.url, capsys, "send", "hello")).code == 0
    assert len(gateway.asked) == 3
    assert len({(r.headers["idempotency-key"], r.body) for r in gateway.asked}) == 1


async def test_repeating_ends(gateway: ScriptedGateway) -> None:
    gateway.on(POST, hang_up)
    connection = Gateway(gateway.url, None, Patience(broken=timedelta(seconds=0.3)), lambda text: None)
    with pytest.raises(Unreachable, match="was lost"):
        await asyncio.to_thread(connection.post, "/v1/messages", {"content": "hello"})
    connection.close()
    assert 2 <= len(gateway.asked) <= 30


async def test_an_unreachable_gateway_is_told_at_once(capsys: Capture) -> None:
    done = await clew(f"http://127.0.0.1:{free_port()}", capsys, "send", "hello")
    assert done.code == 3
    assert "cannot be reached" in done.err


async def test_what_is_no_gateway_is_told(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on("GET /v1/runs", ok(["something", "else"]))
    done = await clew(gateway.url, capsys, "runs")
    assert done.code == 3
    assert "not a Clew gateway" in done.err


async def test_a_problem_is_shown_with_its_fields(gateway: ScriptedGateway, capsys: Capture) -> None:
    errors = [{"pointer": "#/content", "detail": "too long\x1b[2J"}]
    gateway.on(POST, problem(422, "Unprocessable Content", "bad field", errors=errors))
    done = await clew(gateway.url, capsys, "send", "hello")
    assert done.code == 4
    assert "422 Unprocessable Content: bad field" in done.err
    assert "#/content: too long␛[2J" in done.err
    assert len(gateway.asked) == 1


async def test_runs_are_listed_over_pages(gateway: ScriptedGateway, capsys: Capture) -> None:
    page = {"items": [run_json(output="a\tb\nc")] * 2, "next": "more"}
    gateway.on("GET /v1/runs", ok(page), ok({"items": [run_json("running", ended_at=None)], "next": None}))
    done = await clew(gateway.url, capsys, "runs", "--status", "completed", "--thread", THREAD, "--limit", "4")
    assert done.code == 0
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [line[1] for line in lines] == ["completed", "completed", "running"]
    assert lines[0][5] == "a b c"
    assert [r.query for r in gateway.asked] == [
        {"status": "completed", "thread_id": THREAD, "limit": "4"},
        {"status": "completed", "thread_id": THREAD, "limit": "2", "after": "more"},
    ]


async def test_a_run_is_shown_with_its_plan_calls_and_answer(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(GET_RUN, ok(run_json(output="Take the early one.")))
    gateway.on(EVENTS, ok({"items": whole_run(), "next": None}))
    done = await clew(gateway.url, capsys, "run", RUN)
    assert done.code == 0
    for text in ("✓ 1. Search flights", "○ 2. Weigh them", 'web_search(query="NYC London") → results=[] (12 ms)'):
        assert text in done.out
    assert done.out.endswith("\nTake the early one.\n")


async def test_events_are_printed_one_a_line(gateway: ScriptedGateway, capsys: Capture) -> None:
    events = whole_run("two\nlines")
    gateway.on(EVENTS, ok({"items": events[:9], "next": events[8]["cursor"]}), ok({"items": events[9:], "next": None}))
    done = await clew(gateway.url, capsys, "events", RUN)
    assert done.code == 0
    assert [line.split()[2] for line in done.out.splitlines()] == [event["type"] for event in events]
    assert gateway.asked[1].query["after"] == events[8]["cursor"]


async def test_followed_events_as_json_are_the_events(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(EVENTS, stream(whole_run()[:3], cut=True), stream(whole_run()[3:]))
    done = await clew(gateway.url, capsys, "events", "--follow", "--json", RUN)
    assert done.code == 0
    assert [json.loads(line) for line in done.out.splitlines()] == whole_run()


async def test_following_a_run_that_fails_says_so(gateway: ScriptedGateway, capsys: Capture) -> None:
    gateway.on(EVENTS, stream([event_json("run.failed", 3, reason="step", error="x")]))
    assert (await clew(gateway.url, capsys, "events", "--follow", RUN)).code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["send"],
        ["run", "no-uuid"],
        ["runs", "--status", "weird"],
        ["runs", "--limit", "0"],
        ["events", RUN, "--after", "a\nb"],
        ["send", "x", "--key", "ü"],
        ["--url", "ftp://x", "runs"],
        ["--url", "nowhere", "runs"],
        ["documents", "add", "/no/such/file"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(arguments: list[str], capsys: Capture) -> None:
    assert invoke(arguments) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["", "chat", "send", "runs", "run", "events", "documents add", "doctor", "keys create"]
)
def test_every_help_has_examples(command: str, capsys: Capture) -> None:
    assert invoke([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:\n" in shown
    if not command:
        assert "130" in shown


async def test_chat_says_each_line_of_stdin_and_tells_how_to_resume(
    gateway: ScriptedGateway, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.on(POST, ok(ACCEPTED, 202))
    gateway.on(f"POST /v1/threads/{THREAD}/messages", problem(422, "Unprocessable", "no"), hang_up, ok(ACCEPTED, 202))
    gateway.on(EVENTS, stream(whole_run("First.")[1:]), stream(whole_run("Second.")[1:]))
    stdin(monkeypatch, b"one\n\ntwo\nthree\n")
    done = await clew(gateway.url, capsys, "chat")
    assert done.code == 0
    assert "First.\n" in done.out
    assert "Second.\n" in done.out
    assert "422" in done.err
    assert f"clew chat --thread {THREAD}" in done.err
    said = [r.json()["content"] for r in gateway.asked if r.method == "POST"]
    assert said == ["one", "two", "three", "three"]


async def test_chat_takes_a_conversation_up_where_it_is(
    gateway: ScriptedGateway, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.on(f"GET /v1/threads/{THREAD}", ok({"id": THREAD, "title": "Trip", "current_run_id": RUN}))
    messages = [{"role": "user", "text": "find flights"}, {"role": "assistant", "text": "Which\x1b[2J day?"}]
    gateway.on(f"GET /v1/threads/{THREAD}/messages", ok({"items": messages, "next": None}))
    gateway.on(GET_RUN, ok(run_json("running", ended_at=None)))
    gateway.on(EVENTS, stream(whole_run("Done.")))
    stdin(monkeypatch, b"")
    done = await clew(gateway.url, capsys, "chat", "--thread", THREAD)
    assert done.code == 0
    for text in ("you> find flights", "Which␛[2J day?", "◆ Plan: 3 steps", "Done."):
        assert text in done.out
