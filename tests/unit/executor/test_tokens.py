"""Words on their way: the first at once, the others a few at a time, and every one of them once."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from pydantic_ai.messages import AgentStreamEvent, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, ToolCallPart

from clew.executor.calls import Call
from clew.executor.tokens import stream_text

CALL = Call(UUID(int=1), "k", "a", "model", "m", 1)


class Sink:
    """Keeps what is sent. `slow` seconds pass in each send."""

    def __init__(self, slow: float = 0) -> None:
        self.sent: list[tuple[int, int, str]] = []
        self.slow = slow

    async def delta(self, call: Call, index: int, start: int, text: str) -> None:
        await asyncio.sleep(self.slow)
        self.sent.append((index, start, text))


async def stream(*pieces: str, pause: float = 0, error: Exception | None = None) -> AsyncIterator[AgentStreamEvent]:
    yield PartStartEvent(index=0, part=TextPart(""))
    for piece in pieces:
        yield PartDeltaEvent(index=0, delta=TextPartDelta(piece))
        await asyncio.sleep(pause)
    yield PartStartEvent(index=1, part=ToolCallPart("calculator", {}))
    if error is not None:
        raise error


async def test_the_first_piece_goes_out_at_once_and_a_quick_rest_together() -> None:
    sink = Sink()
    await stream_text(sink, CALL, stream("one ", "two ", "three"))
    assert sink.sent == [(0, 0, "one "), (1, 4, "two three")]


async def test_a_slow_stream_is_sent_as_it_comes() -> None:
    sink = Sink()
    await stream_text(sink, CALL, stream("one ", "two ", "three", pause=0.06))
    assert sink.sent == [(0, 0, "one "), (1, 4, "two "), (2, 8, "three")]


async def test_nothing_is_lost_when_the_stream_ends_while_a_piece_is_being_sent() -> None:
    sink = Sink(slow=0.05)
    await stream_text(sink, CALL, stream("one ", "two ", "three ", "four", pause=0.035))
    assert "".join(text for _, _, text in sink.sent) == "one two three four"
    assert [start for _, start, _ in sink.sent] == [
        len("".join(text for _, _, text in sink.sent[:n])) for n in range(len(sink.sent))
    ]


async def test_a_stream_that_breaks_raises_its_own_error_and_leaves_no_task() -> None:
    sink = Sink()
    with pytest.raises(ConnectionError, match="hung up"):
        await stream_text(sink, CALL, stream("one ", "two", error=ConnectionError("hung up")))
    assert sink.sent == [(0, 0, "one ")]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_half_a_surrogate_pair_is_replaced() -> None:
    sink = Sink()
    await stream_text(sink, CALL, stream("a\ud83d"))
    assert sink.sent == [(0, 0, "a?")]
