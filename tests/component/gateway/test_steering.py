"""A run that asks a person, over the real log and views: what is shown, what is accepted, what is refused."""

from uuid import UUID

from clew.chassis import clock
from clew.contracts.conversation import ApprovalDecided, RunForkRequested
from clew.contracts.envelope import derive, stamp
from clew.contracts.execution import ApprovalRequested, RunSuspended
from tests.component.gateway.test_gateway import Stage, env, pytestmark, stage, until

__all__ = ["env", "pytestmark", "stage"]
CALL = UUID("00000000-0000-4000-8000-0000000000ca")


async def asking(stage: Stage) -> str:
    """The path of a run that is suspended for an approval (events 0 to 5)."""
    run_id = (await stage.say()).json()["run_id"]
    await stage.work(run_id, end=False)
    [message] = await stage.messages()
    where = {"thread_id": message.thread_id, "run_id": message.run_id}
    common = [stamp(message, seq, clock.now()) | {"event_id": derive(message.run_id, seq)} for seq in (4, 5)]
    asked = {"call_id": CALL, "step_id": "one", "tool": "send_mail", "arguments": {"to": "ada"}, "reason": "it writes"}
    await stage.write(
        ApprovalRequested.model_validate({**common[0], **where, **asked, "seq": 4}),
        RunSuspended.model_validate({**common[1], **where, "seq": 5, "reason": "approval"}),
    )
    path = f"/v1/runs/{run_id}"
    await until(20, lambda: stage.http.get(f"{path}/state", params={"at": 5}), 200)
    return path


async def test_a_person_answers_once_and_forks_are_runs_at_once(stage: Stage) -> None:
    path = await asking(stage)
    run = (await stage.http.get(path)).json()
    assert [approval["call_id"] for approval in run["approvals"]] == [str(CALL)]
    decided = await stage.http.post(f"{path}/approvals/{CALL}", json={"decision": "deny", "note": "not now"})
    assert decided.status_code == 202
    position = {"Clew-Position": decided.headers["Clew-Position"]}
    assert (await stage.http.get(path, headers=position)).json()["approvals"] == []
    again = await stage.http.post(f"{path}/approvals/{CALL}", json={"decision": "approve"})
    assert again.status_code == 409

    forked = await stage.http.post(f"{path}/forks", json={"after_seq": 3})
    assert forked.status_code == 202
    fork = (await stage.http.get(forked.headers["Location"])).json()
    assert (fork["status"], fork["forked_from"]) == ("queued", run["id"])
    assert (await stage.http.post(f"{path}/forks", json={"after_seq": 6})).status_code == 409
    signals = await stage.log.wait_for("run-signals", 2)
    assert [type(signal) for signal in signals] == [ApprovalDecided, RunForkRequested]


async def test_every_moment_of_a_run_can_be_seen(stage: Stage) -> None:
    path = await asking(stage)
    seen = [(await stage.http.get(f"{path}/state", params={"at": at})).json() for at in range(6)]
    assert [view["status"] for view in seen] == ["queued"] * 2 + ["running"] * 3 + ["suspended"]
    assert [len(view["approvals"]) for view in seen] == [0, 0, 0, 0, 1, 1]
    assert (await stage.http.get(f"{path}/state", params={"at": 6})).status_code == 422
    waits = (await stage.http.get(f"{path}/timeline")).json()["waits"]
    assert [wait["waited_for"] for wait in waits] == ["plan", "executor", "decision", "approval"]
