"""What is said to runs over HTTP and the WebSocket: decisions, steering, resuming, forks. In this process."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from clew.contracts.conversation import (
    ApprovalDecided,
    RunForkRequested,
    RunResumeRequested,
    UserMessageReceived,
)
from clew.contracts.envelope import Event, RunEvent, stamp
from clew.contracts.execution import ApprovalRequested, HeardSignal, InboxRead, RunStarted, RunSuspended, SuspendReason
from clew.contracts.planning import PlanCreated
from clew.gateway.auth import LOCAL_TENANT
from tests.support.gateway_ports import completed
from tests.support.story import PLAN
from tests.unit.gateway.conftest import Gateway
from tests.unit.gateway.talk import talk

CALL = UUID("00000000-0000-4000-8000-0000000000ca")


class Scene:
    """A run, and what planner and executor write about it."""

    def __init__(self, gateway: Gateway, message: UserMessageReceived) -> None:
        self.gateway = gateway
        self.message = message
        self.path = f"/v1/runs/{message.run_id}"

    def tell(self, kind: type[RunEvent], seq: int, **more: Any) -> Event:
        about = stamp(self.message, seq, self.message.occurred_at)
        where = {"thread_id": self.message.thread_id, "run_id": self.message.run_id, "seq": seq}
        self.gateway.log.events.append(kind.model_validate({**about, **where, **more}))
        return self.gateway.log.events[-1]

    def plan(self) -> None:
        self.tell(
            PlanCreated,
            1,
            message_event_id=self.message.event_id,
            content=self.message.content,
            parent_run_id=None,
            actionable=False,
            plan=PLAN,
        )
        self.tell(RunStarted, 2, model="m", code_version="1")

    def ask(self, about: str = "approval", tool: str = "calculator") -> None:
        self.plan()
        asked = {"call_id": CALL, "step_id": "answer", "tool": tool, "arguments": {"a": 1}, "reason": "it writes"}
        self.tell(ApprovalRequested, 3, **asked, about=about)
        self.suspend("approval", 4)

    def suspend(self, reason: SuspendReason, seq: int = 3) -> None:
        self.tell(RunSuspended, seq, reason=reason)

    def hear(self, seq: int = 5) -> None:
        decided = self.written(ApprovalDecided)
        signal = HeardSignal(type=decided.ce_type(), body=decided.model_dump(mode="json"))
        self.tell(InboxRead, seq, signal_ids=(decided.event_id,), signals=(signal,))

    def end(self, seq: int = 9) -> None:
        self.gateway.log.events.append(completed(self.message, seq))

    def written(self, kind: Any) -> Any:
        return next(event for event in reversed(self.gateway.log.events) if isinstance(event, kind))

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return await self.gateway.client.post(f"{self.path}/{path}", json=body, headers=headers)

    async def decide(self, key: str | None = None, **body: Any) -> Any:
        return await self.post(f"approvals/{CALL}", body, **({"Idempotency-Key": key} if key else {}))


@pytest.fixture
async def scene(gateway: Gateway) -> Scene:
    await gateway.client.post("/v1/messages", json={"content": "mail it"})
    message = gateway.log.events[-1]
    assert isinstance(message, UserMessageReceived)
    return Scene(gateway, message)


async def test_a_run_says_what_it_waits_for_until_somebody_decides(scene: Scene) -> None:
    scene.ask()
    run = (await scene.gateway.client.get(scene.path)).json()
    assert (run["status"], run["suspension"]["reason"]) == ("suspended", "approval")
    [approval] = run["approvals"]
    assert (approval["call_id"], approval["tool"], approval["about"]) == (str(CALL), "calculator", "approval")
    answer = await scene.decide(decision="deny", note="not now")
    assert answer.status_code == 202
    assert answer.headers["Clew-Position"].startswith("run-signals:")
    decided = scene.written(ApprovalDecided)
    assert (decided.call_id, decided.decision, decided.note, decided.decided_by) == (CALL, "deny", "not now", "user")
    assert (await scene.gateway.client.get(scene.path)).json()["approvals"] == []


@pytest.mark.parametrize("listening", [True, False])
async def test_a_second_decision_is_a_conflict(scene: Scene, listening: bool) -> None:
    scene.ask()
    await scene.decide(decision="approve")
    if listening:
        scene.hear()
    assert (await scene.decide(decision="deny")).status_code == 409


async def test_the_same_decision_under_the_same_key_is_accepted_again_even_on_another_replica(scene: Scene) -> None:
    scene.ask()
    first = await scene.decide("k1", decision="approve")
    scene.hear()
    again = await scene.decide("k1", decision="approve")
    path, headers = f"{scene.path}/approvals/{CALL}", {"Idempotency-Key": "k1"}
    elsewhere = await scene.gateway.elsewhere().post(path, json={"decision": "approve"}, headers=headers)
    assert first.json() == again.json() == elsewhere.json()
    decisions = [event for event in scene.gateway.log.events if isinstance(event, ApprovalDecided)]
    assert len({event.event_id for event in decisions}) == 1
    for client in (scene.gateway.client, scene.gateway.elsewhere()):
        assert (await client.post(path, json={"decision": "deny"}, headers=headers)).status_code == 409


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/decision"),
        ({"decision": "perhaps"}, "#/decision"),
        ({"decision": "edit"}, "#/arguments"),
        ({"decision": "edit", "arguments": None}, "#/arguments"),
        ({"decision": "edit", "arguments": [1]}, "#/arguments"),
        ({"decision": "edit", "arguments": {"a": "x"}}, "#/arguments/a"),
        ({"decision": "edit", "arguments": {"b": 1}}, "#/arguments"),
        ({"decision": "done"}, "#/result"),
        ({"decision": "approve", "arguments": {}}, "#/arguments"),
        ({"decision": "deny", "result": 1}, "#/result"),
        ({"decision": "approve", "note": ""}, "#/note"),
        ({"decision": "approve", "surprise": 1}, "#/surprise"),
    ],
)
async def test_a_decision_that_makes_no_sense_is_refused_with_the_field_named(
    scene: Scene, body: dict[str, Any], pointer: str
) -> None:
    scene.ask(tool="adder")
    written = len(scene.gateway.log.events)
    answer = await scene.decide(**body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert len(scene.gateway.log.events) == written


@pytest.mark.parametrize(
    "body",
    [
        {"decision": "edit", "arguments": {"a": 2}},
        {"decision": "done", "result": None},
        {"decision": "done", "result": {"sum": 3}, "note": "by hand"},
    ],
)
async def test_every_kind_of_decision_is_written_as_it_was_made(scene: Scene, body: dict[str, Any]) -> None:
    scene.ask(tool="adder")
    assert (await scene.decide(**body)).status_code == 202
    decided = scene.written(ApprovalDecided).model_dump(include=set(body))
    assert decided == body


async def test_what_may_have_been_done_cannot_be_edited(scene: Scene) -> None:
    scene.ask(about="in_doubt")
    assert (await scene.decide(decision="edit", arguments={"a": 2})).status_code == 422
    assert (await scene.decide(decision="done", result="ok")).status_code == 202


async def test_a_decision_about_nothing_is_not_found_and_after_the_end_a_conflict(scene: Scene) -> None:
    scene.ask()
    assert (await scene.post(f"approvals/{uuid4()}", {"decision": "approve"})).status_code == 404
    assert (await scene.post("approvals/nonsense", {"decision": "approve"})).status_code == 404
    unknown = await scene.gateway.client.post(f"/v1/runs/{uuid4()}/approvals/{CALL}", json={"decision": "approve"})
    assert unknown.status_code == 404
    scene.end()
    assert (await scene.decide(decision="approve")).status_code == 409


async def test_a_second_question_about_a_call_is_open_though_the_views_know_only_the_first(scene: Scene) -> None:
    scene.ask()
    await scene.decide(decision="approve")
    scene.hear()
    scene.gateway.views.known = len(scene.gateway.log.events)
    asked = {"call_id": CALL, "step_id": "answer", "tool": "calculator", "arguments": {"a": 1}, "reason": "torn"}
    scene.tell(ApprovalRequested, 6, **asked, about="in_doubt")
    assert (await scene.decide(decision="done", result=1)).status_code == 202


@pytest.mark.parametrize(("catches_up", "status"), [(True, 202), (False, 503)])
async def test_a_question_that_the_views_do_not_know_yet_is_never_not_found(
    scene: Scene, catches_up: bool, status: int
) -> None:
    scene.ask()
    scene.gateway.views.known = len(scene.gateway.log.events) - 2  # the question and the suspension are not in them
    scene.gateway.views.catches_up = catches_up
    assert (await scene.decide(decision="approve")).status_code == status


async def test_steering_is_a_message_for_the_run_that_names_it(scene: Scene) -> None:
    scene.plan()
    answer = await scene.post("steer", {"content": "in euros"}, **{"Idempotency-Key": "k"})
    message = scene.written(UserMessageReceived)
    assert (message.on_busy, message.parent_run_id) == ("steer", scene.message.run_id)
    assert answer.json() == {
        "run_id": str(scene.message.run_id),
        "thread_id": str(scene.message.thread_id),
        "message_id": str(message.message_id),
        "message_run_id": str(message.run_id),
    }
    scene.end()
    again = await scene.post("steer", {"content": "in euros"}, **{"Idempotency-Key": "k"})
    assert again.json() == answer.json(), "a repeat is answered as before, though the run has ended since"
    assert (await scene.post("steer", {"content": "too late"})).status_code == 409
    assert (await scene.post("steer", {"content": " "})).status_code == 422


async def test_only_an_operator_resumes_what_was_stopped(scene: Scene) -> None:
    somebody = {"Authorization": f"Bearer {LOCAL_TENANT}"}
    refused = await scene.gateway.client.post(f"{scene.path}/resume", headers=somebody)
    assert refused.status_code == 403
    assert "operator" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("reason", "status"), [("diverged", 202), ("journal", 202), ("operator", 202), ("approval", 409), ("timer", 409)]
)
async def test_a_run_that_an_operator_stopped_can_be_resumed(scene: Scene, reason: SuspendReason, status: int) -> None:
    scene.plan()
    assert (await scene.post("resume")).status_code == 409, "it is not suspended"
    scene.suspend(reason)
    assert (await scene.post("resume")).status_code == status
    assert any(isinstance(event, RunResumeRequested) for event in scene.gateway.log.events) == (status == 202)


async def test_regenerating_says_the_same_message_beside_the_run(scene: Scene) -> None:
    answer = await scene.post("regenerate", {"model": "other"})
    assert answer.status_code == 202
    again = scene.written(UserMessageReceived)
    assert (again.content, again.model, again.sibling_of) == (scene.message.content, "other", scene.message.run_id)
    assert again.run_id != scene.message.run_id
    assert answer.headers["Location"] == f"/v1/runs/{again.run_id}"
    assert not again.untrusted


async def test_a_message_from_outside_is_still_that_when_it_is_said_again(scene: Scene) -> None:
    events = scene.gateway.log.events
    events[events.index(scene.message)] = scene.message.model_copy(update={"untrusted": True})
    await scene.post("regenerate", {})
    assert scene.written(UserMessageReceived).untrusted


async def test_a_message_may_take_the_place_of_another_one(scene: Scene) -> None:
    path = f"/v1/threads/{scene.message.thread_id}/messages"
    beside = {"content": "mail her", "sibling_of": str(scene.message.run_id)}
    assert (await scene.gateway.client.post(path, json=beside)).status_code == 202
    assert scene.written(UserMessageReceived).sibling_of == scene.message.run_id
    both = beside | {"parent_run_id": str(scene.message.run_id)}
    for wrong in (both, {"content": "a", "sibling_of": str(uuid4())}):
        answer = await scene.gateway.client.post(path, json=wrong)
        assert [error["pointer"] for error in answer.json()["errors"]] == ["#/sibling_of"]


async def test_a_fork_is_asked_for_with_its_changes(scene: Scene) -> None:
    scene.ask()
    changes = {"after_seq": 3, "model": "other", "tools": "stub", "allow_effects": ["calculator"]}
    answer = await scene.post("forks", changes)
    fork = scene.written(RunForkRequested)
    assert answer.status_code == 202
    assert answer.json()["cursor"] == f"{fork.run_id}:1"
    assert (fork.forked_from, fork.after_seq, fork.model, fork.tools) == (scene.message.run_id, 3, "other", "stub")
    run = await scene.gateway.client.get(answer.headers["Location"])
    assert (run.json()["status"], run.json()["forked_from"]) == ("queued", str(scene.message.run_id))
    assert (await scene.gateway.client.get(f"{answer.headers['Location']}/state")).status_code == 409
    events = f"{answer.headers['Location']}/events"
    behind = {"after": answer.json()["cursor"]}
    assert (await scene.gateway.client.get(events, params=behind)).json()["items"] == []
    ahead = {"after": f"{fork.run_id}:2"}
    assert (await scene.gateway.client.get(events, params=ahead)).status_code == 422


async def test_a_fork_with_a_message_is_a_message_that_follows_the_run(scene: Scene) -> None:
    scene.plan()
    assert (await scene.post("forks", {"after_seq": 2, "message": "and by train?"})).status_code == 202
    assert scene.written(UserMessageReceived).parent_run_id == scene.message.run_id


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "#/after_seq"),
        ({"after_seq": -1}, 422, "#/after_seq"),
        ({"after_seq": 0}, 422, "#/after_seq"),
        ({"after_seq": 99}, 409, None),
        ({"after_seq": 2, "tools": "all"}, 422, "#/tools"),
        ({"after_seq": 2, "allow_effects": ["unheard_of"]}, 422, "#/allow_effects/0"),
        ({"after_seq": 2, "tool_results": {"x": 1}}, 422, "#/tool_results/x"),
        ({"after_seq": 2, "tool_results": {str(uuid4()): 1}}, 422, None),
        ({"after_seq": 2, "message": None}, 422, "#/message"),
        ({"after_seq": 2, "message": "a", "tools": "stub"}, 422, "#/tools"),
    ],
)
async def test_a_fork_that_cannot_be_is_refused(
    scene: Scene, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    scene.plan()
    written = len(scene.gateway.log.events)
    answer = await scene.post("forks", body)
    assert answer.status_code == status
    assert pointer in [None, *(error["pointer"] for error in answer.json().get("errors", []))]
    assert len(scene.gateway.log.events) == written


async def test_a_run_that_has_ended_has_no_later_events_to_fork_from(scene: Scene) -> None:
    scene.plan()
    scene.end(3)
    answer = await scene.post("forks", {"after_seq": 4})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/after_seq")


async def test_the_moments_of_a_run_are_shown(scene: Scene) -> None:
    scene.ask()
    client = scene.gateway.client
    early, late = [(await client.get(f"{scene.path}/state", params={"at": at})).json() for at in (2, 4)]
    assert (early["status"], early["approvals"]) == ("running", [])
    assert (late["status"], len(late["approvals"])) == ("suspended", 1)
    assert (await client.get(f"{scene.path}/state")).json() == late
    for at in ("5", "-1", "x", str(2**70)):
        answer = await client.get(f"{scene.path}/state", params={"at": at})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query/at")
    assert (await client.get(f"{scene.path}/journal")).json() == {"items": [], "next": None}
    assert (await client.get(f"{scene.path}/journal", params={"after": "x"})).status_code == 422
    waits = (await client.get(f"{scene.path}/timeline")).json()["waits"]
    assert [wait["waited_for"] for wait in waits] == ["plan", "executor", "decision", "approval"]
    for part in ("state", "journal", "timeline"):
        assert (await client.get(f"/v1/runs/{uuid4()}/{part}")).status_code == 404


@pytest.mark.parametrize(("mode", "outcome"), [("away", None), ("silent", "unknown")])
async def test_an_outage_of_the_log_is_told_as_such(scene: Scene, mode: str, outcome: str | None) -> None:
    scene.ask()
    scene.gateway.log.mode = mode
    for path, body in (
        (f"approvals/{CALL}", {"decision": "approve"}),
        ("steer", {"content": "a"}),
        ("regenerate", {}),
        ("forks", {"after_seq": 2}),
    ):
        answer = await scene.post(path, body)
        assert (answer.status_code, answer.json().get("outcome")) == (503, outcome)
        assert answer.headers["Retry-After"]


async def test_the_socket_takes_decisions_and_steering_as_rest_does(scene: Scene) -> None:
    scene.ask()
    run_id, call_id = str(scene.message.run_id), str(CALL)
    async with talk(scene.gateway.app) as connection:
        connection.say(type="steer", id="s", run_id=run_id, content="in euros", idempotency_key="k")
        assert (await connection.hear())["run_id"] == run_id
        connection.say(type="approve", id="e", run_id=run_id, call_id=call_id, decision="edit")
        assert (await connection.hear())["problem"]["errors"][0]["pointer"] == "#/arguments"
        connection.say(type="approve", id="a", run_id=run_id, call_id=call_id, decision="approve", idempotency_key="k")
        said = await connection.hear()
        assert (said["type"], said["id"], said["call_id"]) == ("accepted", "a", call_id)
    again = await scene.post("steer", {"content": "in euros"}, **{"Idempotency-Key": "k"})
    assert again.json()["message_run_id"] == str(scene.written(UserMessageReceived).run_id)
    assert (await scene.decide("k", decision="approve")).status_code == 202
