"""I10: what a client was sent is what the views hold."""

from collections.abc import Iterator

from clew.ops.verify.violation import Violation, lines
from tests.chaos.facts import Facts, Json, Streamed

FIRST_SEQ = 2  # of the executor's events


def streams_equal_views(facts: Facts) -> Iterator[Violation]:
    """I10: a stream's numbered events are those of the views, once each and in order; its words are the answer's."""
    for stream in facts.streams:
        numbered = [event for event in stream.events if not _token(event)]
        if numbered not in (list(stream.held), _without_late_plan(stream)):
            yield Violation("I10", f"run {stream.run_id} was streamed otherwise than it is held", _difference(stream))
        yield from _wrong_words(stream)
    for run_id, told in facts.torn:
        yield Violation("I10", f"run {run_id}: a stream was told that an event is missing for ever", [told])


def _token(event: Json) -> bool:
    return str(event["type"]).startswith("token.")


def _without_late_plan(stream: Streamed) -> list[Json]:
    """What is held of a run that was cancelled before it started. Kafka has no order between topics: its plan may come
    when the run has ended and its stream is closed."""
    never_started = stream.held[-1]["type"] == "run.cancelled" and stream.held[-1]["seq"] == FIRST_SEQ
    return [event for event in stream.held if not (never_started and event["type"] == "plan.created")]


def _difference(stream: Streamed) -> list[str]:
    sent = [f"{event['cursor']} {event['type']}" for event in stream.events if not _token(event)]
    held = [f"{event['cursor']} {event['type']}" for event in stream.held]
    if sent != held:
        return [f"sent: {', '.join(sent)}", f"held: {', '.join(held)}"]
    return lines([(s, h) for s, h in zip(stream.events, stream.held, strict=False) if s != h], 2)


def _wrong_words(stream: Streamed) -> Iterator[Violation]:
    """Deltas of the attempt that was completed, held against its whole text; each of them once."""
    texts = {
        (event["data"]["call_id"], event["data"]["attempt"]): _words(event["data"]["result"])
        for event in stream.events
        if event["type"] == "call.completed" and event["data"]["kind"] == "model"
    }
    seen: set[tuple[str, int, int]] = set()
    for event in stream.events:
        if event["type"] != "token.delta":
            continue
        delta = event["data"]
        name = (delta["call_id"], delta["attempt"], delta["index"])
        if name in seen:
            yield Violation("I10", f"run {stream.run_id}: a piece of text was sent twice", [str(event)])
        seen.add(name)
        whole = texts.get(name[:2])
        if whole is not None and not whole[delta["start"] :].startswith(delta["text"]):
            yield Violation("I10", f"run {stream.run_id}: streamed words are not the answer's", [str(event), whole])


def _words(result: Json) -> str:
    return "".join(part["content"] for part in result["parts"] if part["part_kind"] == "text")
