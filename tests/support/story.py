"""Conversations for tests: the events that the services would have written, with ids that say where they come from."""

from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict
from uuid import UUID, uuid5

from clew.contracts.conversation import TextPart, ThreadCreated, UserMessageReceived
from clew.contracts.documents import Chunk, ChunksEmbedded, DocumentIngested, DocumentParsed, DocumentUploaded
from clew.contracts.envelope import Event, RunEvent, Stamp, derive, root_stamp
from clew.contracts.execution import (
    CallCompleted,
    CallStarted,
    RunCompleted,
    RunStarted,
    StepCompleted,
    StepProgressed,
    StepStarted,
    TokenDelta,
)
from clew.contracts.planning import Plan, PlanCreated, PlanFailed, PlanFailure, Step
from clew.contracts.usage import Usage

NAMES = UUID("00000000-0000-4000-8000-00000000c1e3")
BEGIN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLAN = Plan(steps=(Step(step_id="answer", kind="respond", title="Answer", instructions="Answer.", agent="assistant"),))


class Where(TypedDict):
    """The run that an event is about."""

    thread_id: UUID
    run_id: UUID


class Call(TypedDict):
    """The only call of a run."""

    call_id: UUID
    call_key: str
    step_id: str
    kind: Literal["model"]
    name: str
    attempt: int


class Story:
    """One thread of one tenant. Each method gives the events of something that happened; nothing is kept or sent."""

    def __init__(self, name: str = "story", tenant: str = "t1", begin: datetime = BEGIN) -> None:
        self.tenant = tenant
        self.id = uuid5(NAMES, name)
        self.thread_id = derive(self.id, "thread")
        self._begin = begin
        self._ticks = 0

    def run_id(self, run: str) -> UUID:
        return derive(self.id, "run", run)

    def call_id(self, run: str) -> UUID:
        return derive(self.run_id(run), "call")

    def where(self, run: str) -> Where:
        return {"thread_id": self.thread_id, "run_id": self.run_id(run)}

    def stamp(self, *name: object) -> Stamp:
        self._ticks += 1
        return root_stamp(derive(self.id, *name), self.tenant, self._begin + timedelta(milliseconds=self._ticks))

    def created(self, title: str | None = None) -> ThreadCreated:
        return ThreadCreated(**self.stamp("created"), thread_id=self.thread_id, title=title, created_by="ada")

    def asked(self, run: str, text: str = "What is 2 + 2?", parent: str | None = None) -> UserMessageReceived:
        return UserMessageReceived(
            **self.stamp(run, 0),
            **self.where(run),
            seq=0,
            message_id=derive(self.run_id(run), "message"),
            content=(TextPart(text=text),),
            sent_by="ada",
            parent_run_id=None if parent is None else self.run_id(parent),
        )

    def planned(self, run: str, parent: str | None = None) -> PlanCreated:
        return PlanCreated(
            **self.stamp(run, 1),
            **self.where(run),
            seq=1,
            message_event_id=derive(self.id, run, 0),
            content=(TextPart(text=f"message of {run}"),),
            parent_run_id=None if parent is None else self.run_id(parent),
            actionable=True,
            plan=PLAN,
        )

    def refused(self, run: str, reason: PlanFailure) -> PlanFailed:
        of = derive(self.id, run, 0)
        return PlanFailed(
            **self.stamp(run, 1), **self.where(run), seq=1, message_event_id=of, reason=reason, detail="No."
        )

    def started(self, run: str, seq: int = 2) -> RunStarted:
        return RunStarted(
            **self.stamp(run, seq),
            **self.where(run),
            seq=seq,
            model="offline",
            code_version="1",
        )

    def worked(self, run: str) -> list[RunEvent]:
        """From the start of the run to the end of its only call (seqs 2 to 6)."""
        common = self.where(run)
        call: Call = {
            "call_id": self.call_id(run),
            "call_key": "answer/1",
            "step_id": "answer",
            "kind": "model",
            "name": "offline",
            "attempt": 1,
        }
        return [
            self.started(run),
            StepStarted(**self.stamp(run, 3), **common, seq=3, step_id="answer", attempt=1),
            StepProgressed(**self.stamp(run, 4), **common, seq=4, step_id="answer", message="Thinking"),
            CallStarted(**self.stamp(run, 5), **common, **call, seq=5, request={"ask": 1}),
            CallCompleted(
                **self.stamp(run, 6),
                **common,
                **call,
                seq=6,
                result="4",
                usage=Usage(requests=1, input_tokens=10, output_tokens=3, cost_usd=0.002),
                duration_ms=1.5,
            ),
        ]

    def ended(self, run: str, output: str = "It is 4.") -> list[RunEvent]:
        common = self.where(run)
        return [
            StepCompleted(**self.stamp(run, 7), **common, seq=7, step_id="answer", output=output),
            RunCompleted(**self.stamp(run, 8), **common, seq=8, output=output, confidence=0.9, usage=Usage(requests=1)),
        ]

    def whole(self, run: str, parent: str | None = None) -> list[RunEvent]:
        """A run from its message to its end: seqs 0 to 8."""
        asked, planned = self.asked(run, f"question {run}"), self.planned(run, parent)
        return [asked, planned, *self.worked(run), *self.ended(run, f"answer {run}")]

    def token(self, run: str, index: int, text: str, attempt: int = 1) -> TokenDelta:
        return TokenDelta(
            **self.stamp(run, "token", attempt, index),
            **self.where(run),
            call_id=self.call_id(run),
            step_id="answer",
            attempt=attempt,
            index=index,
            start=index,
            text=text,
        )

    def document(self, name: str, *texts: str) -> list[Event]:
        """A file that was uploaded and ingested, a chunk for each text."""
        document_id = derive(self.id, "document", name)
        uploaded = DocumentUploaded(
            **self.stamp(name, "uploaded"),
            document_id=document_id,
            filename=name,
            content_type="text/plain",
            size=100,
            object_key=f"t1/{name}",
            uploaded_by="ada",
        )
        chunks = tuple(Chunk(index=i, start=i, end=i + 1, text=text) for i, text in enumerate(texts))
        return [
            uploaded,
            DocumentParsed(**self.stamp(name, "parsed"), document_id=document_id, pages=1, characters=9, sha256="00"),
            ChunksEmbedded(**self.stamp(name, "chunks"), document_id=document_id, batch=0, chunks=chunks),
            DocumentIngested(**self.stamp(name, "ingested"), document_id=document_id, chunks=len(texts)),
        ]
