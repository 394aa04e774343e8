"""Long-term memory over the API: remembered, found, put right, forgotten; each user's own, and nobody else's."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from clew.cli.main import invoke
from clew.memory.migrate import migrate
from tests.support.log import make_topics
from tests.support.services import running

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def users(
    stack_env: dict[str, str], namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[dict[str, httpx2.AsyncClient]]:
    """A client for each of three users; the first two are of one tenant."""
    folder = tmp_path_factory.mktemp("services")
    keys = make_keys(folder / "keys.json")
    env = stack_env | {
        "CLEW_NAMESPACE": namespace,
        "CLEW_LOG_FORMAT": "json",
        "CLEW_AUTH": "api-key",
        "CLEW_API_KEYS_FILE": str(folder / "keys.json"),
    }
    await make_topics(env)
    await asyncio.to_thread(migrate, env["DATABASE_URL"], namespace)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running("memory", env, folder))
        gateway = await stack.enter_async_context(running("gateway", env, folder))
        yield {
            name: await stack.enter_async_context(
                httpx2.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {key}"})
            )
            for name, key in keys.items()
        }


def make_keys(path: Path) -> dict[str, str]:
    users = {"ada": "acme", "bob": "acme", "eve": "globex"}
    found: dict[str, str] = {}
    for name, tenant in users.items():
        out = path.with_suffix(f".{name}")
        with out.open("w") as stream, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", stream)
            assert invoke(["keys", "create", "--file", str(path), "--tenant", tenant, "--principal", name]) == 0
        found[name] = out.read_text().strip()
    return found


async def remember(client: httpx2.AsyncClient, text: str, **headers: str) -> tuple[str, dict[str, str]]:
    """The path of the new memory, and the header with which it is seen at once."""
    answer = await client.post("/v1/memories", json={"text": text}, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/memories/{answer.json()['id']}"
    return answer.headers["Location"], {"Clew-Position": answer.headers["Clew-Position"]}


async def listed(client: httpx2.AsyncClient, path: str = "/v1/memories", **headers: str) -> list[str]:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return [memory["text"] for memory in answer.json()["items"]]


async def test_a_memory_is_kept_found_put_right_and_forgotten(users: dict[str, httpx2.AsyncClient]) -> None:
    ada = users["ada"]
    path, seen = await remember(ada, "I never fly before nine in the morning.")
    _, seen = await remember(ada, "My sister lives in Porto.")
    assert await listed(ada, **seen) == ["My sister lives in Porto.", "I never fly before nine in the morning."]
    assert await listed(ada, "/v1/memories?query=early+flights+in+the+morning") == [
        "I never fly before nine in the morning."
    ]
    changed = await ada.patch(path, json={"text": "I never fly before ten in the morning."})
    position = {"Clew-Position": changed.headers["Clew-Position"]}
    memory = (await ada.get(path, headers=position)).json()
    assert memory["text"] == changed.json()["text"] == "I never fly before ten in the morning."
    assert memory["changed_at"] > memory["created_at"]

    gone = await ada.delete(path)
    assert gone.status_code == 202
    position = {"Clew-Position": gone.headers["Clew-Position"]}
    assert (await ada.get(path, headers=position)).status_code == 404
    assert await listed(ada) == ["My sister lives in Porto."]
    assert await listed(ada, "/v1/memories?query=ten+in+the+morning") == []


async def test_what_is_remembered_about_a_user_is_nobody_elses(users: dict[str, httpx2.AsyncClient]) -> None:
    path, seen = await remember(users["ada"], "The code of my bicycle lock is 4711.")
    for other in (users["bob"], users["eve"]):
        assert (await other.get(path, headers=seen)).status_code == 404
        assert (await other.patch(path, json={"text": "mine now"})).status_code == 404
        assert (await other.delete(path)).status_code == 404
        assert await listed(other) == []
        assert await listed(other, "/v1/memories?query=bicycle") == []
    assert (await users["ada"].get(path)).json()["text"] == "The code of my bicycle lock is 4711."


async def test_the_same_key_remembers_once_and_another_text_under_it_is_a_conflict(
    users: dict[str, httpx2.AsyncClient],
) -> None:
    bob = users["bob"]
    first, seen = await remember(bob, "I am left-handed.", **{"Idempotency-Key": "hand"})
    again, _ = await remember(bob, "I am left-handed.", **{"Idempotency-Key": "hand"})
    assert first == again
    assert await listed(bob, **seen) == ["I am left-handed."]
    other = await bob.post("/v1/memories", json={"text": "I am not."}, headers={"Idempotency-Key": "hand"})
    assert other.status_code == 409


async def test_pages_follow_each_other(users: dict[str, httpx2.AsyncClient]) -> None:
    eve = users["eve"]
    texts = [f"fact {number}" for number in range(5)]
    seen: dict[str, str] = {}
    for text in texts:
        _, seen = await remember(eve, text)
    found: list[str] = []
    after = ""
    while True:
        page: dict[str, Any] = (await eve.get(f"/v1/memories?limit=2{after}", headers=seen)).json()
        found += [memory["text"] for memory in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == texts[::-1]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/text"),
        ({"text": ""}, "#/text"),
        ({"text": " \n"}, "#/text"),
        ({"text": "x" * 4001}, "#/text"),
        ({"text": 3}, "#/text"),
        ({"text": "x", "colour": "red"}, "#/colour"),
    ],
)
async def test_a_wrong_memory_names_its_field(
    users: dict[str, httpx2.AsyncClient], body: dict[str, object], pointer: str
) -> None:
    answer = await users["ada"].post("/v1/memories", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_place_in_another_list_is_refused(users: dict[str, httpx2.AsyncClient]) -> None:
    answer = await users["ada"].get("/v1/memories?after=nowhere")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["query/after"]
