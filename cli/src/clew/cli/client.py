"""The API as functions: each asks the gateway one thing and returns it typed. No terminal, no printing."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from clew.cli.errors import Unreachable
from clew.cli.gateway import Gateway
from clew.cli.wire import Accepted, Document, Event, Json, Message, Page, Passage, Run, Thread, Upload

T = TypeVar("T")
PAGE = 200  # the most that the API gives at once


class Client:
    """What can be asked of the gateway. All calls raise Unreachable or Refused."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def send(self, content: str, thread_id: str | None, key: str, model: str | None = None) -> Accepted:
        """Says something, in a new thread unless one is given. Repeating it under the same key changes nothing."""
        path = f"/v1/threads/{thread_id}/messages" if thread_id else "/v1/messages"
        body = {"content": content} | ({"model": model} if model else {})
        return _typed(Accepted.parse, self.gateway.post(path, body, key))

    def run(self, run_id: str) -> Run:
        return _typed(Run.parse, self.gateway.get(f"/v1/runs/{run_id}"))

    def runs(self, status: str | None, thread_id: str | None, limit: int) -> list[Run]:
        """The newest `limit` runs."""
        return self._list("/v1/runs", Run.parse, limit, status=status, thread_id=thread_id)

    def events(self, run_id: str, after: str | None = None) -> Iterator[Event]:
        """The events that there are now, page by page."""
        return self._each(f"/v1/runs/{run_id}/events", Event.parse, after)

    def state(self, run_id: str, at: int | None = None, *, conversations: bool = True) -> Json:
        """What was known of a run when its event `at` was written; with what models had read, if that is wanted."""
        asked: Json = {} if at is None else {"at": at}
        asked |= {} if conversations else {"conversations": False}
        return self.gateway.get(f"/v1/runs/{run_id}/state", **asked)

    def records(self, run_id: str) -> Iterator[Json]:
        """The run's events, each with its place in the log, page by page."""
        return self._each(f"/v1/runs/{run_id}/records", lambda body: body)

    def void(self, run_id: str) -> list[Json]:
        """What was written of a run and does not count."""
        return list(self._page(f"/v1/runs/{run_id}/void", lambda body: body).items)

    def timeline(self, run_id: str) -> Json:
        """Spans and waits of a run."""
        return self.gateway.get(f"/v1/runs/{run_id}/timeline")

    def thread_runs(self, thread_id: str) -> list[Run]:
        """The whole tree of a thread."""
        return list(self._page(f"/v1/threads/{thread_id}/runs", Run.parse).items)

    def cancel(self, run_id: str, reason: str | None = None) -> None:
        self.gateway.post(f"/v1/runs/{run_id}/cancel", {} if reason is None else {"reason": reason})

    def resume(self, run_id: str) -> None:
        """Lets a run go on that was stopped for an operator."""
        self.gateway.post(f"/v1/runs/{run_id}/resume", {})

    def decide(self, run_id: str, call_id: str, decision: Json) -> None:
        """Answers what a run asks about a call; `decision` is the body that the API takes."""
        self.gateway.post(f"/v1/runs/{run_id}/approvals/{call_id}", decision)

    def steer(self, run_id: str, content: str) -> str:
        """Says something to a run under way; the id of the run that the message becomes if it comes too late."""
        answer = self.gateway.post(f"/v1/runs/{run_id}/steer", {"content": content})
        return _typed(lambda body: str(body["message_run_id"]), answer)

    def calls(self, run_id: str, at: int | None = None) -> list[Json]:
        """The calls that were known when the run's event `at` was written, those that it shares included."""
        return _typed(lambda body: list(body["calls"]), self.state(run_id, at, conversations=False))

    def fork(self, run_id: str, body: Json, key: str) -> Accepted:
        """Begins a run that goes on from a recorded moment; `body` is the one that the API takes."""
        return _typed(Accepted.parse, self.gateway.post(f"/v1/runs/{run_id}/forks", body, key))

    def thread(self, thread_id: str) -> Thread:
        return _typed(Thread.parse, self.gateway.get(f"/v1/threads/{thread_id}"))

    def messages(self, thread_id: str, limit: int) -> list[Message]:
        """The last `limit` messages of the current branch, oldest first."""
        path = f"/v1/threads/{thread_id}/messages"
        return list(self._page(path, Message.parse, limit=limit, order="desc").items)[::-1]

    def delete_thread(self, thread_id: str) -> None:
        self.gateway.delete(f"/v1/threads/{thread_id}")

    def names(self, kind: str) -> list[str]:
        """The names of all `agents` or `tools` that executors announce."""
        return list(self._page(f"/v1/{kind}", lambda body: str(body["name"])).items)

    def begin_upload(self, filename: str, size: int, sha256: str) -> Upload:
        body = {"filename": filename, "size": size, "sha256": sha256}
        return _typed(Upload.parse, self.gateway.post("/v1/documents", body))

    def upload(self, document_id: str) -> Upload:
        """What has arrived of an upload, with fresh URLs."""
        return _typed(Upload.parse, self.gateway.get(f"/v1/documents/{document_id}/parts"))

    def complete_upload(self, document_id: str, etags: dict[int, str]) -> None:
        parts = [{"number": number, "etag": etag} for number, etag in sorted(etags.items())]
        self.gateway.post(f"/v1/documents/{document_id}/complete", {"parts": parts})

    def document(self, document_id: str) -> Document:
        return _typed(Document.parse, self.gateway.get(f"/v1/documents/{document_id}"))

    def documents(self, limit: int) -> list[Document]:
        """The newest `limit` documents."""
        return self._list("/v1/documents", Document.parse, limit)

    def delete_document(self, document_id: str) -> None:
        self.gateway.delete(f"/v1/documents/{document_id}")

    def search(self, query: str, limit: int) -> list[Passage]:
        answer = self.gateway.post("/v1/documents/search", {"query": query, "limit": limit})
        return list(_typed(lambda body: [Passage.parse(item) for item in body["items"]], answer))

    def _page(self, path: str, parse: Callable[[Json], T], **query: Any) -> Page[T]:
        answer = self.gateway.get(path, **query)
        return _typed(lambda body: Page([parse(item) for item in body["items"]], body.get("next")), answer)

    def _list(self, path: str, parse: Callable[[Json], T], limit: int, **query: Any) -> list[T]:
        found: list[T] = []
        after: str | None = None
        while len(found) < limit:
            page = self._page(path, parse, after=after, limit=min(limit - len(found), PAGE), **query)
            found += page.items
            after = page.next
            if after is None:
                break
        return found

    def _each(self, path: str, parse: Callable[[Json], T], after: str | None = None) -> Iterator[T]:
        more = True
        while more:
            page = self._page(path, parse, after=after, limit=PAGE)
            yield from page.items
            after, more = page.next, page.next is not None


def _typed(parse: Callable[[Json], T], answer: Json) -> T:
    try:
        return parse(answer)
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"the gateway's answer is not what the API promises: {error!r}", passing=False) from error
