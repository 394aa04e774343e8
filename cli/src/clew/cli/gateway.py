"""HTTP with the gateway: one request that is repeated while that may help, and one stream of events.

Every POST carries an Idempotency-Key, so that it can be repeated whatever became of the first attempt. What is asked
for is `client`'s business; going on after a stream was cut is `follow`'s.
"""

import json
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final, TypeVar, cast

import httpx2

from clew.cli.errors import Refused, Unreachable
from clew.cli.wire import Event, Json, Problem

T = TypeVar("T")
TIMEOUT: Final = httpx2.Timeout(30, connect=5)  # seconds; the gateway waits up to ten for an acknowledgement
SILENCE: Final = httpx2.Timeout(40, connect=5)  # seconds; a stream sends a comment every 15
MAX_EVENT: Final = 64 * 1024 * 1024  # bytes; a tool's whole result may be in one
FIRST_PAUSE: Final = 0.2  # seconds before the first repetition; it doubles up to the longest
LONGEST_PAUSE: Final = 5.0
BROKEN: Final = timedelta(seconds=15)  # twice what the gateway waits for the log, and a restart
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol, httpx2.InvalidURL)

Notice = Callable[[str], None]  # tells the person what is being waited for


@dataclass(frozen=True)
class Patience:
    """How long a request is repeated: `away` when nobody listens there, `broken` when it was cut or answered 503."""

    away: timedelta = timedelta(0)
    broken: timedelta = BROKEN


def pauses() -> Iterator[float]:
    """Seconds to wait before each repetition."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def new_key() -> str:
    """An Idempotency-Key that nobody has used."""
    return secrets.token_hex(16)


class Gateway:
    """A connection to the gateway at `url`. A context manager; all calls raise Unreachable or Refused."""

    def __init__(self, url: str, token: str | None, patience: Patience, notice: Notice) -> None:
        self.url = url
        self._patience = patience
        self._notice = notice
        self._position: str | None = None
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT,
            trust_env=not _loopback(url),  # a proxy in the environment is not meant for this machine
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Json:
        """The JSON of an answer. It is one that knows of what this client wrote before."""
        known = {name: value for name, value in query.items() if value is not None}
        headers = {"Clew-Position": self._position} if self._position else {}
        return self._persistently(lambda: self._ask("GET", path, params=known, headers=headers))

    def post(self, path: str, body: Json, key: str | None = None) -> Json:
        """The same for a write, under an Idempotency-Key of its own unless one is given."""
        headers = {"Idempotency-Key": key or new_key()}
        return self._persistently(lambda: self._ask("POST", path, json=body, headers=headers))

    def delete(self, path: str) -> None:
        self._persistently(lambda: self._ask("DELETE", path))

    def probe(self, path: str) -> tuple[int, Json]:
        """Status and JSON of an answer, whatever the status; asked once."""
        with self._translated():
            response = self._http.get(path)
        return response.status_code, _object(response)

    def put_bytes(self, url: str, content: bytes) -> str:
        """PUTs to a presigned URL of the object store, which is not the gateway and gets no token; the ETag."""
        with self._translated("the object store"):
            response = httpx2.put(url, content=content, timeout=TIMEOUT, trust_env=not _loopback(url))
        if response.is_error:
            raise Refused(Problem(response.status_code, "The object store refused a part", response.reason_phrase))
        return response.headers["etag"].strip('"')

    @contextmanager
    def stream(self, run_id: str, after: str | None) -> Generator[Iterator[Event] | None]:
        """A run's events behind the cursor `after` until the connection ends; None when there are none to come."""
        headers = {"Last-Event-ID": after} if after else {}
        path = f"/v1/runs/{run_id}/events"
        with (
            self._translated(),
            self._http.sse(path, headers=headers, timeout=SILENCE, max_event_size=MAX_EVENT) as source,
        ):
            if source.response.status_code == 204:
                yield None
                return
            if source.response.status_code != 200:
                source.response.read()
                _object(_accepted(source.response))
            yield (_event(sent.data) for sent in source if sent.data)

    def _ask(self, method: str, path: str, **request: Any) -> Json:
        with self._translated():
            response = self._http.request(method, path, **request)
        answer = _object(_accepted(response))
        self._position = response.headers.get("clew-position", self._position)
        return answer

    def _persistently(self, attempt: Callable[[], T]) -> T:
        began, broken = time.monotonic(), False
        for pause in pauses():
            try:
                return attempt()
            except (Unreachable, Refused) as failure:
                broken = broken or not isinstance(failure, Unreachable) or failure.sent
                limit = max(self._patience.away, self._patience.broken if broken else timedelta(0))
                wait = max(pause, min(failure.retry_after, LONGEST_PAUSE))
                if not failure.passing or time.monotonic() - began + wait > limit.total_seconds():
                    raise
                self._notice(f"{failure}; trying again")
            time.sleep(wait)
        raise AssertionError("pauses never end")

    @contextmanager
    def _translated(self, whom: str = "the gateway") -> Generator[None]:
        where = f"{whom} at {self.url}" if whom == "the gateway" else whom
        try:
            yield
        except NOT_SENT as error:
            raise Unreachable(f"{where} cannot be reached: {error}", sent=False) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"the connection to {where} was lost: {why}") from error


def _accepted(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    asked = response.headers.get("retry-after", "")
    problem = Problem.parse(response.status_code, response.reason_phrase, _json(response))
    raise Refused(problem, float(asked) if asked.isdigit() else 0.0)


def _object(response: httpx2.Response) -> Json:
    """The JSON object of an answer; empty for an empty answer. Unreachable when it is none: that is no gateway."""
    body: object = _json(response) if response.content else {}
    if not isinstance(body, dict):
        raise Unreachable(f"what answers at {response.url} is not a Clew gateway", passing=False)
    return cast(Json, body)


def _event(data: str) -> Event:
    try:
        return Event.parse(json.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"an event is not what the API promises: {error!r}", passing=False) from error


def _json(response: httpx2.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None


def _loopback(url: str) -> bool:
    host = httpx2.URL(url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
