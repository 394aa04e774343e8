"""From what a client says to what a message is in the log: parts, with text that is there and not too much.

Pure: no I/O. Whether an attached document exists is for the run to find out.
"""

from collections.abc import Sequence
from uuid import UUID

from clew.contracts import conversation
from clew.contracts.conversation import ContentPart
from clew.gateway.errors import FieldError, Invalid, TooLarge
from clew.gateway.schemas import DocumentPart, Part, TextPart

MAX_MESSAGE = 1024 * 1024  # bytes of UTF-8


def message_parts(content: Sequence[Part], attachments: Sequence[UUID] = ()) -> tuple[ContentPart, ...]:
    """The parts of a message. Invalid when it says nothing, TooLarge above `MAX_MESSAGE`."""
    texts = [part.text for part in content if isinstance(part, TextPart)]
    documents = [part.document_id for part in content if isinstance(part, DocumentPart)] + list(attachments)
    if not documents and not any(text.strip() for text in texts):
        raise Invalid.field("#/content", "the message says nothing")
    if (size := sum(len(text.encode()) for text in texts)) > MAX_MESSAGE:
        detail = f"a message holds at most {MAX_MESSAGE} bytes of text, not {size}"
        raise TooLarge(detail, errors=[FieldError(pointer="#/content", detail=detail)])
    parts: list[ContentPart] = [_part(part) for part in content]
    parts += [conversation.DocumentPart(document_id=document_id) for document_id in attachments]
    return tuple(parts)


def _part(part: Part) -> ContentPart:
    if isinstance(part, TextPart):
        return conversation.TextPart(text=part.text)
    return conversation.DocumentPart(document_id=part.document_id)
