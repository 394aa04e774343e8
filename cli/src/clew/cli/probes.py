"""The examinations of `clew doctor`. Each asks the gateway something, and says what is wrong and what to do.

The gateway only shows what the other services did, so they are examined by their work: a tiny run and a tiny file, both
deleted afterwards.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from clew.cli.client import Client
from clew.cli.errors import Failure, Refused, Unreachable
from clew.cli.gateway import new_key
from clew.cli.uploads import File, ingested, upload
from clew.cli.wire import Event

QUESTION: Final = "what is 1 + 1?"
LOOK_EVERY: Final = 0.2  # seconds
START: Final = "start Clew (`make run`), or say where it is with --url or CLEW_URL"
ADVICE: Final = {
    "log": "Kafka does not answer: see that it runs, and that KAFKA_BOOTSTRAP_SERVERS names it",
    "views": "Postgres does not answer, or `python -m clew.memory migrate` has not run: see DATABASE_URL",
    "live store": "Redis does not answer: see REDIS_URL. Answers still come, only slower",
    "api keys": "make the file with `clew keys create`; the gateway reads it from CLEW_API_KEYS_FILE",
    "start": "wait a moment, and look at the gateway's log if it goes on",
    "stop": "the gateway is being stopped: start it again",
}
STAGES: Final = {  # what a run shows last → who should have gone on, and with what
    "": ("memory", "see that memory runs, and how far it is behind: its /readyz and log say it"),
    "message.received": ("planner", "see that the planner runs; its log says why it makes no plan"),
    "plan.created": ("executor", "see that an executor runs; its log says why it does not take the run up"),
    "run.started": (
        "executor",
        "the run is under way and slow: the model may not answer; see CLEW_MODEL and OPENAI_BASE_URL",
    ),
}


@dataclass(frozen=True)
class Finding:
    """What an examination says of one part. `advice`: what to do when it is not well."""

    part: str
    well: bool
    detail: str
    advice: str = ""


def examine(client: Client, seconds: float, passive: bool) -> Iterator[Finding]:
    """All findings in order. It ends early where nothing further can be asked."""
    try:
        status, ready = client.gateway.probe("/readyz")
    except Unreachable as failure:
        yield Finding("gateway", False, str(failure), START)
        return
    yield Finding("gateway", True, f"answers at {client.gateway.url}")
    reasons: dict[str, str] = ready.get("reasons") or {}
    for name, reason in reasons.items():
        yield Finding(name, False, reason, ADVICE.get(name, "see the gateway's log"))
    if not reasons:
        yield Finding("log and views", status == 200, "reachable" if status == 200 else f"/readyz answers {status}")
    access = _access(client)
    yield access
    if not access.well:
        return
    yield from _attempt("views", lambda: _capabilities(client))
    if not passive:
        yield from _run(client, seconds)
        yield from _document(client, seconds)


def _attempt(part: str, ask: Callable[[], Finding | None]) -> Iterator[Finding]:
    """What asking found out, or that it failed."""
    try:
        finding = ask()
    except (Refused, Unreachable) as failure:
        finding = Finding(part, False, str(failure), ADVICE.get(part, "what was made for this check is left behind"))
    if finding is not None:
        yield finding


def _access(client: Client) -> Finding:
    try:
        client.gateway.get("/v1/threads", limit=1)
    except Refused as refused:
        if refused.problem.status in (401, 403):
            advice = "set CLEW_TOKEN to a key made by `clew keys create`"
            return Finding("access", False, str(refused), advice)
        return Finding("views", False, str(refused), ADVICE["views"])
    except Unreachable as failure:
        return Finding("gateway", False, str(failure), START)
    return Finding("access", True, "the API lets you in")


def _capabilities(client: Client) -> Finding:
    agents, tools = client.names("agents"), client.names("tools")
    if not agents:
        return Finding("executor", False, "no executor has announced agents", STAGES["plan.created"][1])
    return Finding("agents", True, f"{', '.join(agents)}; {len(tools)} tools")


def _run(client: Client, seconds: float) -> Iterator[Finding]:
    """One question, followed until it is answered or until somebody does not go on with it."""
    try:
        accepted = client.send(QUESTION, None, new_key())
    except Failure as failure:
        yield Finding("log", False, str(failure), ADVICE["log"])
        return
    began = time.monotonic()
    seen = _watch(client, accepted.run_id, began + seconds)
    yield _diagnosis(seen, time.monotonic() - began)
    models = [event.data.get("model") for event in seen.values() if event.type == "run.started"]
    if models and "offline" in str(models[0]):
        yield Finding("model", True, "the offline stand-in answers; set CLEW_MODEL for a real model")
    yield from _attempt("clean-up", lambda: client.delete_thread(accepted.thread_id))


def _watch(client: Client, run_id: str, until: float) -> dict[str, Event]:
    """The last event of each type that the run showed in time."""
    seen: dict[str, Event] = {}
    while time.monotonic() < until:
        try:
            seen = {event.type: event for event in client.events(run_id)}
        except (Refused, Unreachable):
            seen = {}
        if any(event.final for event in seen.values()):
            break
        time.sleep(LOOK_EVERY)
    return seen


def _diagnosis(seen: dict[str, Event], took: float) -> Finding:
    if "run.completed" in seen:
        return Finding("planner, executor, memory", True, f"a question was answered in {took:.1f} s")
    for end in ("run.failed", "run.cancelled", "plan.failed"):
        if end in seen:
            data = seen[end].data
            why = str(data.get("error") or data.get("detail") or data.get("reason") or "")
            return Finding("model", False, f"{end}: {why}", "the services work; see CLEW_MODEL and the executor's log")
    reached = [stage for stage in STAGES if stage in seen or not stage]
    part, advice = STAGES[reached[-1]]
    return Finding(part, False, f"a question got no further than {reached[-1] or 'the log'} in {took:.0f} s", advice)


def _document(client: Client, seconds: float) -> Iterator[Finding]:
    """One tiny file, brought to the object store and ingested."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clew-doctor.txt"
        path.write_text("A file of `clew doctor`.\n")
        try:
            document_id = upload(client, File.read(path), lambda size: None)
        except (Refused, Unreachable) as failure:
            advice = "see that the object store runs, and that S3_ENDPOINT can be reached from here"
            yield Finding("object store", False, str(failure), advice)
            return
    yield _ingestion(client, document_id, seconds)
    yield from _attempt("clean-up", lambda: client.delete_document(document_id))


def _ingestion(client: Client, document_id: str, seconds: float) -> Finding:
    advice = "see that ingestion runs; its log says why it does not go on"
    try:
        document = ingested(client, document_id, seconds)
    except Failure as failure:
        return Finding("ingestion", False, str(failure), advice)
    if document.status == "ready":
        return Finding("object store, ingestion", True, "a file was uploaded and can be searched")
    return Finding("ingestion", False, f"a file is {document.status}: {document.error}", advice)
