"""Documents: from the upload to searchable chunks."""

from typing import Final, Literal, TypeAlias
from uuid import UUID

from pydantic import Field

from clew.contracts.envelope import Event, Text, Value

Stage: TypeAlias = Literal["fetch", "parse", "chunk", "embed"]
MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024  # a file is parsed as a whole, in memory, several at a time
CONTENT_TYPES: Final = ("text/plain", "text/markdown")  # the media types that can be ingested


def document_folder(tenant_id: str, document_id: UUID) -> str:
    """Where in the bucket everything of a document lies: its object keys begin with this."""
    return f"documents/{tenant_id}/{document_id}/"


class DocumentEvent(Event):
    """An event of one document, ordered by it."""

    document_id: UUID

    @property
    def key(self) -> str:
        return str(self.document_id)


class DocumentUploaded(DocumentEvent):
    """All bytes are in the object store under `object_key`. `sha256` (hex) is as declared by the client."""

    filename: Text
    content_type: Text
    size: int = Field(ge=0)
    object_key: Text
    sha256: Text | None = None
    uploaded_by: Text


class DocumentDeleted(DocumentEvent):
    """The document is gone from every view and from search."""

    deleted_by: Text


class DocumentParsed(DocumentEvent):
    """The text was read out of the file: how many pages (1 where there are none) and characters."""

    pages: int = Field(ge=0)
    characters: int = Field(ge=0)
    sha256: Text


class Chunk(Value):
    """A passage: its place among the document's chunks, and the characters [`start`, `end`) of the text it covers."""

    index: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    page: int | None = Field(default=None, ge=1)
    heading: Text | None = None
    text: Text
    embedding: tuple[float, ...] | None = None


class ChunksEmbedded(DocumentEvent):
    """A batch of the document's chunks. `model` is None where no embedding provider is set: then full text serves."""

    batch: int = Field(ge=0)
    chunks: tuple[Chunk, ...]
    model: Text | None = None


class DocumentIngested(DocumentEvent):
    """The document can be searched: this many chunks in all."""

    chunks: int = Field(ge=0)


class DocumentFailed(DocumentEvent):
    """The document cannot be searched: this stage of ingestion gave up."""

    stage: Stage
    error: Text
