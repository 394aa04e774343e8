"""A recorded run as a file: one JSON a line, complete in itself. What it says is checked before anything is used.

The first line is the header: format version, run, number of lines and SHA-256 of all that follows. Then come blobs
(bodies over `LARGE` bytes), the history of the conversation, and the run's events, whole, in order.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from pydantic import ValidationError

from clew.contracts.codec import MAX_BODY, DecodeError, event_class
from clew.contracts.envelope import RunEvent
from clew.contracts.planning import PlanCreated
from clew.replay.errors import BadRecording, BlobMissing, NoRecording, Tampered, TooNew, Truncated
from clew.views.models import Message, Summary

FORMAT: Final = 1
KIND: Final = "clew-run"
LARGE: Final = MAX_BODY  # bytes: what is a claim check in the log is a blob here
Json = dict[str, Any]  # Any: whatever JSON holds
Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Recording:
    """One run: its events in order, and what was said before it. `redacted` are the rules by which it was changed;
    `untrusted`: an answer among what was said was made of bytes from outside."""

    events: Sequence[RunEvent]
    history: Sequence[Message] = ()
    redacted: Sequence[str] = field(default=())
    summaries: Sequence[Summary] = ()
    untrusted: bool = False

    @property
    def run_id(self) -> UUID:
        """The recorded run; of a fork the events of what it shares come before its own."""
        return self.events[-1].run_id

    @property
    def plan(self) -> PlanCreated | None:
        return next((event for event in self.events if isinstance(event, PlanCreated)), None)

    def until(self, seq: int) -> "Recording":
        """The same run as if it had been cut off behind its event `seq`."""
        known = [event for event in self.events if event.run_id != self.run_id or event.seq <= seq]
        return replace(self, events=known)


def written(recording: Recording, change: Change | None = None) -> Iterator[str]:
    """The lines of the file. `change` makes of each body what is to be written of it."""
    body = [_line(line) for line in _lines(recording, change or unchanged)]
    header = {
        "clew": KIND,
        "format": FORMAT,
        "run_id": str(recording.run_id),
        "lines": len(body),
        "sha256": sha256("".join(body).encode()).hexdigest(),
        "redacted": list(recording.redacted),
        "untrusted": recording.untrusted,
    }
    yield _line(header)
    yield from body


def unchanged(value: Any) -> Any:
    return value


def _lines(recording: Recording, change: Change) -> Iterator[Json]:
    for message in recording.history:
        yield from _with_blob({"message": True}, change(message.model_dump(mode="json")))
    for summary in recording.summaries:
        yield from _with_blob({"summary": True}, change(summary.model_dump(mode="json")))
    for event in recording.events:
        yield from _with_blob({"event": event.ce_type()}, change(event.model_dump(mode="json")))


def _with_blob(line: Json, body: Any) -> Iterator[Json]:
    """The line with its body; a large one stands in a line of its own before it, and is named."""
    text = json.dumps(body, ensure_ascii=False)
    if len(text.encode()) <= LARGE:
        yield {**line, "body": body}
        return
    name = sha256(text.encode()).hexdigest()
    yield {"blob": name, "text": text}
    yield {**line, "ref": name}


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def text_of(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def read_file(path: Path) -> Recording:
    """As `read`; what is wrong is told with the name of the file."""
    return read_of(path, text_of(path))


def read_of(path: Path, text: str) -> Recording:
    """As `read_file`, of a file whose text is known."""
    try:
        return read(text)
    except BadRecording as error:
        raise type(error)(f"{path}: {error}") from error


def read(text: str) -> Recording:
    """The recording in a file. NoRecording, Truncated, Tampered, TooNew and BlobMissing say what is wrong with it."""
    first, end, rest = text.partition("\n")
    header = _header(first)
    *lines, unfinished = rest.split("\n")  # not splitlines: JSON may hold other ends of lines
    if not end or unfinished or len(lines) < header["lines"]:
        raise Truncated(f"the recording has {len(lines)} lines of {header['lines']}: its end is missing")
    if sha256(rest.encode()).hexdigest() != header["sha256"]:
        raise Tampered("the recording was changed after it was written: its hash is another one")
    blobs: dict[str, Any] = {}
    events: list[RunEvent] = []
    history: list[Message] = []
    summaries: list[Summary] = []
    for number, line in enumerate(lines, 2):
        try:
            _take(json.loads(line), blobs, events, history, summaries)
        except (ValueError, KeyError, TypeError, DecodeError, ValidationError) as error:
            raise NoRecording(f"line {number} of the recording cannot be read: {error}") from error
    if not events:
        raise NoRecording("the recording holds no event")
    untrusted = bool(header.get("untrusted", False))
    return Recording(events, history, tuple(header.get("redacted", ())), summaries, untrusted)


def _header(first: str) -> Json:
    try:
        header: Any = json.loads(first)
    except ValueError:
        header = None
    if not isinstance(header, dict) or cast(Json, header).get("clew") != KIND:
        raise NoRecording("this is no recording of a run: its first line is not the header of one")
    header = cast(Json, header)
    if missing := {"format", "lines", "sha256"} - set(header):
        raise NoRecording(f"the header of the recording lacks {', '.join(sorted(missing))}")
    if header["format"] > FORMAT:
        raise TooNew(f"the recording has format {header['format']}; this version of Clew reads {FORMAT}")
    return header


def _take(
    line: Json, blobs: dict[str, Any], events: list[RunEvent], history: list[Message], summaries: list[Summary]
) -> None:
    if "blob" in line:
        blobs[line["blob"]] = json.loads(line["text"])
        return
    if "ref" in line and line["ref"] not in blobs:
        raise BlobMissing(f"the recording names the blob {line['ref'][:12]}…, and does not hold it")
    body = blobs[line["ref"]] if "ref" in line else line["body"]
    if "summary" in line:
        summaries.append(Summary.model_validate_json(json.dumps(body)))
        return
    if "event" not in line:
        history.append(Message.model_validate_json(json.dumps(body)))
        return
    event = event_class(line["event"]).model_validate_json(json.dumps(body), extra="ignore")
    if not isinstance(event, RunEvent):
        raise ValueError(f"{line['event']} is no event of a run")
    events.append(event)
