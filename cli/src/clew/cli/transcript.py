"""What a person sees of a run: its events turned into lines and streamed words. Pure; printing is `screen`'s.

Independent steps run at the same time, so several calls may stream words. One of them holds the pen; the others'
words wait until it is done, and nothing is ever mixed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from clew.cli import lines
from clew.cli.lines import Line
from clew.cli.wire import Event, Json


@dataclass(frozen=True)
class Words:
    """More of what a call says, as it comes. `answer`: it is the answer, and not what a step on the way says."""

    text: str
    answer: bool
    call_id: str


@dataclass(frozen=True)
class Answer:
    """The whole answer, where its words did not come one by one."""

    text: str


Piece: TypeAlias = Line | Words | Answer


@dataclass
class _Speech:
    """The words of one call. `torn`: some are missing, so the rest is not shown."""

    step_id: str
    attempt: int
    text: str = ""
    shown: int = 0
    torn: bool = False
    over: bool = False

    @property
    def waiting(self) -> str:
        return "" if self.torn else self.text[self.shown :]

    def hear(self, start: int, text: str) -> None:
        """Takes a piece that begins at character `start`; what is known already is left out."""
        if start > len(self.text):
            self.torn = True
        else:
            self.text += text[len(self.text) - start :]


@dataclass
class Transcript:
    """Feed it a run's events in order; it gives what is to be shown next."""

    titles: dict[str, str] = field(default_factory=dict[str, str])
    places: dict[str, str] = field(default_factory=dict[str, str])
    answer_step: str | None = None
    _started: set[str] = field(default_factory=set[str])
    _speeches: dict[str, _Speech] = field(default_factory=dict[str, _Speech])
    _pen: str | None = None

    def feed(self, event: Event) -> Iterator[Piece]:
        match event.type:
            case "plan.created":
                yield from self._on_plan(event)
            case "step.started" | "step.completed" | "step.failed":
                yield self._on_step(event)
            case "call.started":
                yield from self._on_call_started(event)
            case "call.completed" | "call.failed":
                yield from self._on_call_ended(event)
            case "token.delta":
                yield from self._on_delta(event)
            case "token.reset":
                yield from self._on_reset(event)
            case "run.completed":
                yield from self._on_completed(event)
            case _ if (line := lines.of(event)) is not None:
                yield line
            case _:
                return

    def _on_plan(self, event: Event) -> Iterator[Piece]:
        steps: list[Json] = event.data["plan"]["steps"]
        self.titles = {step["step_id"]: step["title"] for step in steps}
        self.places = {step["step_id"]: f"{n}/{len(steps)}" for n, step in enumerate(steps, 1)}
        self.answer_step = answer_step(steps)
        yield from lines.plan(steps)

    def _on_step(self, event: Event) -> Line:
        step: str = event.data["step_id"]
        return lines.step(event, self.titles.get(step, step), self.places.get(step, ""))

    def _on_call_started(self, event: Event) -> Iterator[Piece]:
        self._started.add(event.data["call_id"])
        if shows(event):
            yield lines.call_started(event)
        yield from self._speak()

    def _on_call_ended(self, event: Event) -> Iterator[Piece]:
        call_id = event.data["call_id"]
        if shows(event):
            if call_id not in self._started and event.data.get("request") is not None:
                yield lines.call_started(event)  # it was over before its start was worth an event
                self._started.add(call_id)
            yield lines.call_ended(event, announced=call_id in self._started)
        self._started.add(call_id)
        if (speech := self._speeches.get(call_id)) is not None:
            speech.over = True
            yield from self._speak()

    def _on_delta(self, event: Event) -> Iterator[Piece]:
        call_id, attempt = event.data["call_id"], event.data["attempt"]
        speech = self._speeches.get(call_id)
        if speech is None or speech.attempt != attempt:
            yield from self._on_reset(event)
            speech = self._speeches[call_id] = _Speech(event.data["step_id"], attempt)
        speech.over = False  # words are written apart from events, and the last may come behind the end
        speech.hear(event.data["start"], event.data["text"])
        yield from self._speak()

    def _on_reset(self, event: Event) -> Iterator[Piece]:
        speech = self._speeches.pop(event.data["call_id"], None)
        if self._pen == event.data["call_id"]:
            self._pen = None
        if speech is not None and speech.shown:
            yield lines.note("the words above are void; the model is asked again")
        yield from self._speak()

    def _on_completed(self, event: Event) -> Iterator[Piece]:
        output, said = event.data["output"].strip(), self._said().strip()
        if said and output.startswith(said):
            if rest := output[len(said) :]:
                yield Words(rest, answer=True, call_id=self._answering or "")
        else:
            yield Answer(output)
        yield lines.completed(event)

    def _said(self) -> str:
        """What was shown of the answer as one text: the last words of the step that gives it."""
        speech = self._speeches.get(self._answering or "")
        return speech.text[: speech.shown] if speech else ""

    @property
    def _answering(self) -> str | None:
        """The call that spoke last in the step that gives the answer."""
        calls = [name for name, speech in self._speeches.items() if speech.step_id == self.answer_step]
        return calls[-1] if calls else None

    def _speak(self) -> Iterator[Piece]:
        """The words that may be shown now: those of who holds the pen, and of whoever gets it next.

        Words are written apart from events and may be faster: those of a call wait until it is said to have begun.
        """
        while True:
            speech = self._speeches.get(self._pen or "")
            if speech is None or (speech.over and not speech.waiting) or speech.torn:
                ready = (name for name, other in self._speeches.items() if other.waiting and name in self._started)
                self._pen = next(ready, None)
                speech = self._speeches.get(self._pen or "")
            if self._pen is None or speech is None or not (text := speech.waiting):
                return
            speech.shown = len(speech.text)
            yield Words(text, speech.step_id == self.answer_step, self._pen)


def shows(event: Event) -> bool:
    """Whether a call is worth a line: tools are, and whatever fails; but not the tool whose effect is a line itself."""
    if event.type == "call.failed":
        return True
    return event.data["kind"] == "tool" and event.data["name"] != "mark_progress"


def answer_step(steps: list[Json]) -> str | None:
    """The step whose output is the answer: the last one that no other depends on."""
    needed = {name for step in steps for name in step.get("depends_on", ())}
    return next((step["step_id"] for step in reversed(steps) if step["step_id"] not in needed), None)
