"""Recordings as files: what is written is read back, and what is wrong with a file is said, each fault by itself."""

import json
from hashlib import sha256
from uuid import UUID

import pytest

from clew.contracts.conversation import TextPart
from clew.replay.errors import BadRecording, BlobMissing, NoRecording, Tampered, TooNew, Truncated
from clew.replay.recording import LARGE, Recording, read, written
from clew.replay.redaction import REDACTED, Rules
from clew.views.models import Message
from tests.support.recordings import recorded
from tests.support.run_log import NOON, planned

HISTORY = Message(
    message_id=UUID(int=7),
    run_id=UUID(int=8),
    role="user",
    text="Hello\u2028there",
    content=(TextPart(text="Hello\u2028there"),),
    revision=1,
    created_at=NOON,
)


async def example(words: str = "It is done.") -> Recording:
    made = await recorded(planned(), lambda _: [words])
    return Recording(made.events, (HISTORY,))


def text_of(recording: Recording) -> str:
    return "".join(written(recording))


def with_hash(header: dict[str, object], lines: list[str]) -> str:
    """A file whose header says what is in it."""
    body = "".join(f"{line}\n" for line in lines)
    return json.dumps({**header, "lines": len(lines), "sha256": sha256(body.encode()).hexdigest()}) + "\n" + body


async def test_what_is_written_is_read_back() -> None:
    recording = await example()
    again = read(text_of(recording))
    assert (list(again.events), list(again.history)) == (list(recording.events), list(recording.history))
    assert text_of(again) == text_of(recording)


async def test_a_large_body_is_a_blob_of_its_own() -> None:
    recording = await example("x" * LARGE)
    text = text_of(recording)
    assert sum('{"blob"' in line for line in text.split("\n")) == 3  # the call, the step and the run carry it
    assert list(read(text).events) == list(recording.events)


async def test_each_fault_of_a_file_has_an_exit_code_of_its_own() -> None:
    text = text_of(await example("x" * LARGE))
    header, *lines = text.removesuffix("\n").split("\n")
    known = json.loads(header)
    faults = {
        Truncated: text[: len(text) // 2],
        Tampered: text.replace("assistant", "assassin"),
        TooNew: with_hash({**known, "format": 2}, lines),
        BlobMissing: with_hash(known, [line for line in lines if not line.startswith('{"blob"')]),
        NoRecording: '{"something": "else"}\n',
    }
    codes: set[int] = set()
    for kind, faulty in faults.items():
        with pytest.raises(kind) as caught:
            read(faulty)
        codes.add(caught.value.code)
    assert codes == {10, 11, 12, 13, 14}


@pytest.mark.parametrize("text", ["", "\n", "[]\n", "not json", '{"clew": "clew-run"}\n'])
async def test_what_is_no_recording_is_refused(text: str) -> None:
    with pytest.raises(BadRecording):
        read(text)


async def test_every_cut_of_a_file_is_refused() -> None:
    text = text_of(await example())
    for end in range(0, len(text), 97):
        with pytest.raises(BadRecording):
            read(text[:end])


async def test_redaction_takes_members_and_patterns_away_everywhere() -> None:
    rules = Rules.parse(["password", r"/\w+@\w+\.org/"])
    arguments = json.dumps({"password": "hunter2", "to": "ada@example.org"})
    assert rules.apply({"args": arguments, "list": ["ada@example.org", 3]}) == {
        "args": json.dumps({"password": REDACTED, "to": REDACTED}),
        "list": [REDACTED, 3],
    }
    recording = await example("Write to ada@example.org.")
    text = "".join(written(Recording(recording.events, (), ("/x/",)), rules.apply))
    assert "ada@example.org" not in text
    assert read(text).redacted == ("/x/",)
