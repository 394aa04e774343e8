"""Writing and reading conversations over HTTP, in this process."""

from uuid import UUID, uuid4

from clew.contracts.conversation import ParentCall, ThreadCreated, ThreadDeleted, UserMessageReceived
from tests.support.gateway_ports import cancels, completed
from tests.unit.gateway.conftest import Gateway


async def test_a_thread_that_was_made_can_be_read_changed_and_deleted(gateway: Gateway) -> None:
    made = await gateway.client.post("/v1/threads", json={"title": " Trip ", "metadata": {"a": 1}})
    assert made.status_code == 201
    assert made.json()["title"] == "Trip"
    where = made.headers["Location"]

    assert (await gateway.client.get(where)).json() == made.json()
    changed = await gateway.client.patch(where, json={"title": "London"})
    assert (changed.json()["title"], changed.json()["metadata"]) == ("London", {"a": 1})
    assert (await gateway.client.get(where)).json()["title"] == "London"

    for archived in (True, False):
        assert (await gateway.client.patch(where, json={"archived": archived})).json()["archived"] is archived
        for asked in (True, False):
            there = (await gateway.client.get("/v1/threads", params={"archived": asked} if asked else {})).json()[
                "items"
            ]
            assert [one["id"] for one in there] == [made.json()["id"]] * (asked is archived)
    assert (await gateway.client.patch(where, json={"archived": None})).status_code == 422

    assert (await gateway.client.delete(where)).status_code == 202
    assert (await gateway.client.get(where)).status_code == 404
    assert [type(event) for event in gateway.log.events].count(ThreadDeleted) == 1


async def test_a_thread_is_deleted_after_those_that_its_runs_began(gateway: Gateway) -> None:
    told = [(await gateway.client.post("/v1/messages", json={"content": "a"})).json() for _ in range(3)]
    top, child, grandchild = (UUID(one["thread_id"]) for one in told)
    parents = {child: (top, told[0]["run_id"]), grandchild: (child, told[1]["run_id"])}
    for number, event in enumerate(gateway.log.events):
        if isinstance(event, UserMessageReceived) and event.thread_id in parents:
            thread_id, run_id = parents[event.thread_id]
            call = ParentCall(thread_id=thread_id, run_id=UUID(run_id), call_id=uuid4())
            gateway.log.events[number] = event.model_copy(update={"parent_call": call})
    assert (await gateway.client.delete(f"/v1/threads/{top}")).status_code == 202
    deleted = [event for event in gateway.log.events if isinstance(event, ThreadDeleted)]
    assert [event.thread_id for event in deleted] == [child, grandchild, top]
    assert len({event.event_id for event in deleted}) == 3
    assert {event.causation_id for event in deleted[:2]} == {deleted[2].event_id}


async def test_the_messages_of_a_run_are_those_of_its_own_thread(gateway: Gateway) -> None:
    one, other = [(await gateway.client.post("/v1/messages", json={"content": "a"})).json() for _ in range(2)]
    path = f"/v1/threads/{one['thread_id']}/messages"
    assert (await gateway.client.get(path, params={"run_id": one["run_id"]})).status_code == 200
    assert (await gateway.client.get(path, params={"run_id": other["run_id"]})).status_code == 404


async def test_a_change_of_nothing_writes_nothing(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    answer = await gateway.client.patch(f"/v1/threads/{thread_id}", json={})
    assert answer.status_code == 200
    assert len(gateway.log.events) == 1


async def test_a_message_is_in_the_log_when_it_is_accepted(gateway: Gateway) -> None:
    thread_id = await gateway.thread()
    answer = await gateway.client.post(f"/v1/threads/{thread_id}/messages", json={"content": "hello"})
    assert answer.status_code == 202
    message = gateway.log.events[-1]
    assert isinstance(message, UserMessageReceived)
    assert answer.json() == {
        "run_id": str(message.run_id),
        "thread_id": str(thread_id),
        "message_id": str(message.message_id),
        "cursor": f"{message.run_id}:0",
    }
    assert answer.headers["Clew-Position"] == "user-messages:0:1"


async def test_a_first_message_makes_its_thread_in_the_same_request(gateway: Gateway) -> None:
    answer = await gateway.client.post("/v1/messages", json={"content": "hello"})
    made, message = gateway.log.events
    assert isinstance(made, ThreadCreated)
    assert isinstance(message, UserMessageReceived)
    assert str(made.thread_id) == str(message.thread_id) == answer.json()["thread_id"]


async def test_the_same_key_and_body_give_the_same_ids_on_another_replica(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await gateway.client.post("/v1/messages", json={"content": "hello"}, headers=headers)
    ids = [event.event_id for event in gateway.log.events]
    second = await gateway.elsewhere().post("/v1/messages", json={"content": "hello"}, headers=headers)
    assert first.json() == second.json()
    assert [event.event_id for event in gateway.log.events] == ids * 2


async def test_the_same_key_with_another_body_is_a_conflict(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    for path in ("/v1/messages", f"/v1/threads/{await gateway.thread()}/messages"):
        await gateway.client.post(path, json={"content": "hello"}, headers=headers)
        written = len(gateway.log.events)
        again = await gateway.client.post(path, json={"content": "bye"}, headers=headers)
        assert again.status_code == 409
        elsewhere = await gateway.elsewhere().post(path, json={"content": "bye"}, headers=headers)
        assert elsewhere.status_code == 409
        assert len(gateway.log.events) == written


async def test_the_same_key_of_another_caller_or_route_is_another_request(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    one = await gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    theirs = await gateway.client.post(
        "/v1/messages", json={"content": "b"}, headers=headers | {"Authorization": "Bearer acme"}
    )
    other = await gateway.client.post("/v1/threads", json={"title": "c"}, headers=headers)
    assert [one.status_code, theirs.status_code, other.status_code] == [202, 202, 201]


async def test_a_key_is_free_again_when_nothing_was_sent(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    gateway.log.mode = "away"
    refused = await gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert gateway.log.events == []
    gateway.log.mode = "fine"
    assert (await gateway.client.post("/v1/messages", json={"content": "b"}, headers=headers)).status_code == 202


async def test_an_unknown_outcome_names_the_ids_and_can_be_repeated(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    gateway.log.mode = "silent"
    unknown = await gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    assert (unknown.status_code, unknown.json()["outcome"]) == (503, "unknown")
    gateway.log.mode = "fine"
    again = await gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    assert again.status_code == 202
    assert {
        name: unknown.json()[name] for name in ("run_id", "thread_id", "message_id")
    }.items() <= again.json().items()


async def test_a_message_is_accepted_while_the_views_are_away(gateway: Gateway) -> None:
    gateway.views.away = True
    for key in ({}, {"Idempotency-Key": "k1"}):
        sent = await gateway.client.post(f"/v1/threads/{uuid4()}/messages", json={"content": "a"}, headers=key)
        assert sent.status_code == 202
    assert (await gateway.client.post("/v1/messages", json={"content": "a"})).status_code == 202
    read = await gateway.client.get("/v1/threads")
    assert (read.status_code, read.headers["Retry-After"]) == (503, "1")


async def test_what_this_process_wrote_is_found_before_the_views_have_it(gateway: Gateway) -> None:
    gateway.views.known = 0
    run_id = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()["run_id"]
    assert (await gateway.client.get(f"/v1/runs/{run_id}")).status_code == 200
    assert gateway.log.asked_for_ends == 0


async def test_what_another_replica_wrote_is_found_before_the_views_have_it(gateway: Gateway) -> None:
    run_id = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()["run_id"]
    gateway.views.known = 0
    assert (await gateway.elsewhere().get(f"/v1/runs/{run_id}")).status_code == 200


async def test_nothing_is_called_missing_while_the_views_are_behind(gateway: Gateway) -> None:
    await gateway.thread()
    gateway.views.known = 0
    gateway.views.catches_up = False
    assert (await gateway.client.get(f"/v1/runs/{uuid4()}")).status_code == 503
    assert (await gateway.client.post(f"/v1/threads/{uuid4()}/messages", json={"content": "a"})).status_code == 202


async def test_a_read_that_brings_a_position_waits_for_it(gateway: Gateway) -> None:
    made = await gateway.client.post("/v1/threads", json={})
    position = {"Clew-Position": made.headers["Clew-Position"]}
    gateway.views.known = 0
    assert len((await gateway.client.get("/v1/threads", headers=position)).json()["items"]) == 1
    gateway.views.known = 0
    gateway.views.catches_up = False
    assert (await gateway.client.get("/v1/threads", headers=position)).status_code == 503


async def test_what_belongs_to_another_tenant_is_not_there(gateway: Gateway) -> None:
    answer = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()
    theirs = {"Authorization": "Bearer acme"}
    paths = [
        f"/v1/threads/{answer['thread_id']}",
        f"/v1/threads/{answer['thread_id']}/messages",
        f"/v1/threads/{answer['thread_id']}/runs",
        f"/v1/runs/{answer['run_id']}",
        f"/v1/runs/{answer['run_id']}/events",
    ]
    for path in paths:
        assert (await gateway.client.get(path)).status_code == 200
        assert (await gateway.client.get(path, headers=theirs)).status_code == 404
    written = len(gateway.log.events)
    for path in (f"/v1/runs/{answer['run_id']}/cancel", f"/v1/threads/{answer['thread_id']}/messages"):
        assert (await gateway.client.post(path, json={}, headers=theirs)).status_code in (404, 422)
    body = {"content": "a"}
    assert (await gateway.client.post(paths[1], json=body, headers=theirs)).status_code == 404
    assert (await gateway.client.delete(paths[0], headers=theirs)).status_code == 404
    assert len(gateway.log.events) == written
    assert (await gateway.client.get("/v1/runs", headers=theirs)).json()["items"] == []


async def test_a_busy_thread_turns_a_message_away_that_would_not_wait(gateway: Gateway) -> None:
    thread_id = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()["thread_id"]
    path = f"/v1/threads/{thread_id}/messages"
    assert (await gateway.client.post(path, json={"content": "b", "on_busy": "reject"})).status_code == 409
    assert (await gateway.client.post(path, json={"content": "b"})).status_code == 202


async def test_a_parent_must_be_a_run_of_the_thread(gateway: Gateway) -> None:
    one = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()
    path = f"/v1/threads/{await gateway.thread()}/messages"
    wrong = await gateway.client.post(path, json={"content": "b", "parent_run_id": one["run_id"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/parent_run_id")
    path = f"/v1/threads/{one['thread_id']}/messages"
    right = await gateway.client.post(path, json={"content": "b", "parent_run_id": one["run_id"]})
    assert right.status_code == 202


async def test_a_client_that_waits_gets_the_run_when_it_has_ended_and_else_the_promise(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "k1", "Prefer": "wait=0"}
    promised = await gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    assert (promised.status_code, promised.headers["Preference-Applied"]) == (202, "wait=0")
    message = gateway.log.events[-1]
    assert isinstance(message, UserMessageReceived)
    gateway.log.events.append(completed(message))
    headers["Prefer"] = "respond-async, wait=5"
    ended = await gateway.client.post("/v1/messages", json={"content": "a"}, headers=headers)
    assert (ended.status_code, ended.json()["status"], ended.json()["output"]) == (200, "completed", "42")


async def test_a_run_can_be_cancelled_until_it_has_ended(gateway: Gateway) -> None:
    accepted = (await gateway.client.post("/v1/messages", json={"content": "a"})).json()
    path = f"/v1/runs/{accepted['run_id']}/cancel"
    assert (await gateway.client.post(path)).status_code == 202
    assert (await gateway.client.post(path, json={"reason": "wrong dates"})).status_code == 202
    assert [cancel.reason for cancel in cancels(gateway.log.events)] == [None, "wrong dates"]
    message = gateway.log.events[1]
    assert isinstance(message, UserMessageReceived)
    gateway.log.events.append(completed(message))
    assert (await gateway.client.post(path)).status_code == 409


async def test_events_come_as_a_page_or_as_a_stream_with_the_same_cursors(gateway: Gateway) -> None:
    accepted = (await gateway.client.post("/v1/messages", json={"content": "a\nb"})).json()
    message = gateway.log.events[-1]
    assert isinstance(message, UserMessageReceived)
    gateway.log.events.append(completed(message))
    path = f"/v1/runs/{accepted['run_id']}/events"

    page = (await gateway.client.get(path)).json()
    stream = await gateway.client.get(path, headers={"Accept": "text/event-stream"})
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.text.startswith("retry: 1000\n\n")
    ids = [line.removeprefix("id: ") for line in stream.text.splitlines() if line.startswith("id: ")]
    assert ids == [event["cursor"] for event in page["items"]] == [f"{message.run_id}:0", f"{message.run_id}:2"]

    resumed = await gateway.client.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": ids[0]})
    assert resumed.text.count("event: ") == 1
    both = await gateway.client.get(path, params={"after": ids[1]}, headers=dict(resumed.request.headers))
    assert both.text == resumed.text, "what a browser says when it comes again counts more than its first address"
    over = await gateway.client.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": ids[1]})
    assert over.status_code == 204
    assert (await gateway.client.get(path, params={"limit": 1})).json()["next"] == ids[0]
    assert (await gateway.client.get(path, params={"after": ids[0]})).json()["items"] == page["items"][1:]


async def test_tools_come_in_our_shape_or_in_that_of_openai(gateway: Gateway) -> None:
    ours = (await gateway.client.get("/v1/tools")).json()["items"]
    theirs = (await gateway.client.get("/v1/tools", params={"format": "openai"})).json()["items"]
    assert ours[0]["policy"] == "pure"
    assert theirs[:1] == [
        {
            "type": "function",
            "function": {"name": "calculator", "description": "Does sums.", "parameters": {"type": "object"}},
        }
    ]
    assert (await gateway.client.get("/v1/agents")).json()["items"][0]["name"] == "assistant"
