"""Messages of pages: the JSON that is made of rows is that of the models, byte for byte."""

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json

from clew.contracts.conversation import ContentPart, DocumentPart, TextPart
from clew.views.database import Row
from clew.views.models import Message, Page
from clew.views.rows import messages_in, said_in

CONTENT: TypeAdapter[tuple[ContentPart, ...]] = TypeAdapter(tuple[ContentPart, ...])
WHOLE_SECOND = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def node(text: str, *parts: ContentPart, at: datetime = WHOLE_SECOND) -> Row:
    return {
        "run_id": UUID(int=1),
        "fork": False,
        "status": "completed",
        "output": text,
        "ended_at": at,
        "message_id": UUID(int=2),
        "text": text,
        "content": CONTENT.dump_json((TextPart(text=text), *parts)).decode(),
        "asked_at": at,
        "revision": 3,
    }


@pytest.mark.parametrize(
    "text", ["", "plain", 'quote"s \\ back', "\x00\x07\x1f\x7f\t\n\r", "ü 中 😀 \u2028 \ufeff", "</script>"]
)
def test_the_json_of_rows_is_that_of_the_models(text: str) -> None:
    nodes = [node(text, DocumentPart(document_id=UUID(int=7))), node(text, at=WHOLE_SECOND.replace(microsecond=90))]
    page = Page[Message](items=messages_in(nodes), next="x")
    assert to_json({"items": said_in(nodes), "next": "x"}).decode() == page.model_dump_json()


def test_times_are_told_as_the_connection_has_them() -> None:
    nodes = [node("hello", at=datetime(2026, 11, 21, 12, 0, tzinfo=ZoneInfo("Asia/Kolkata")))]
    page = Page[Message](items=messages_in(nodes), next=None)
    assert to_json({"items": said_in(nodes), "next": None}).decode() == page.model_dump_json()
    assert page.items[0].created_at.isoformat().endswith("+05:30")
