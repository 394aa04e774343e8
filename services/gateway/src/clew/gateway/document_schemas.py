"""What clients say about documents, and what they get back. What a request may say at all is `bodies`."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from clew.contracts.documents import CONTENT_TYPES, MAX_DOCUMENT_BYTES
from clew.gateway.schemas import DOCUMENT_ID, Request
from clew.views.models import DocumentStatus

MIN_PART_SIZE = 5 * 1024 * 1024  # bytes: S3's least for a part that is not the last
MAX_PART_SIZE = 5 * 1024 * 1024 * 1024  # bytes: S3's most
PART_SIZE = 8 * 1024 * 1024  # bytes, where the client does not say
MAX_PARTS = 10_000  # S3's most for one file
MAX_FILENAME = 255  # bytes of UTF-8, as file systems have it
MAX_QUERY = 1_000  # characters
UNFIT = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogates, line and paragraph separators
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ETAG = "5d41402abc4b2a76b9719d911017c592"


def _plain_name(name: str) -> str:
    """A name and no path: nothing that would mean something to whoever saves or shows the file."""
    if len(name.encode()) > MAX_FILENAME:
        raise ValueError(f"a file name holds at most {MAX_FILENAME} bytes of UTF-8")
    if not name.strip() or name in (".", ".."):
        raise ValueError("this names no file")
    if "/" in name or "\\" in name:
        raise ValueError("a file name holds no path: neither / nor \\")
    if unfit := next((character for character in name if unicodedata.category(character) in UNFIT), None):
        raise ValueError(f"character U+{ord(unfit):04X} cannot be part of a file name")
    return name


def _unquoted(etag: object) -> object:
    return etag.strip('"') if isinstance(etag, str) else etag


Filename: TypeAlias = Annotated[
    str, AfterValidator(_plain_name), Field(description=f"A name without a path, at most {MAX_FILENAME} bytes of UTF-8")
]
Etag: TypeAlias = Annotated[
    str, BeforeValidator(_unquoted), StringConstraints(pattern=r"^[\x21\x23-\x7e]{1,128}$"), Field(examples=[ETAG])
]


class DocumentCreate(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filename": "handbook.md", "size": 48_211, "sha256": SHA256}]}
    )

    filename: Filename
    size: int = Field(ge=1, description=f"Bytes of the whole file, at most {MAX_DOCUMENT_BYTES}", strict=True)
    content_type: str | None = Field(
        None, description=f"{' or '.join(CONTENT_TYPES)}; else the end of the file's name says it"
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Of the whole file, in hex: what arrives is compared with it"
    )
    part_size: int = Field(
        PART_SIZE, ge=MIN_PART_SIZE, le=MAX_PART_SIZE, description="Bytes of each part but the last", strict=True
    )


class PartDone(Request):
    number: int = Field(ge=1, le=MAX_PARTS, strict=True)
    etag: Etag = Field(description="As the object store answered it to the PUT of the part")


class DocumentComplete(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"parts": [{"number": 1, "etag": ETAG}]}]})

    parts: tuple[PartDone, ...] = Field(min_length=1, max_length=MAX_PARTS)


class DocumentSearch(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "notice period", "limit": 5}]})

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY)]
    limit: int = Field(10, ge=1, le=50, strict=True)
    document_ids: tuple[UUID, ...] | None = Field(None, min_length=1, max_length=100, description="Default: all")


class PartRead(BaseModel):
    """A part to send: PUT its bytes to `url`, with no form's content type. `etag` and `size` once it has arrived."""

    number: int
    url: str
    etag: str | None
    size: int | None


class UploadRead(BaseModel):
    """An upload. When it is `completed` there is nothing to send, and `upload_id` is null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "document_id": DOCUMENT_ID,
                    "upload_id": "e2f4e4b5-c1ac-4114-99c1-c5c7905b055a",
                    "size": 48_211,
                    "part_size": PART_SIZE,
                    "completed": False,
                    "parts": [{"number": 1, "url": "https://…?partNumber=1&…", "etag": None, "size": None}],
                }
            ]
        }
    )

    document_id: UUID
    upload_id: str | None
    size: int
    part_size: int
    completed: bool
    parts: Sequence[PartRead]


class DocumentAccepted(BaseModel):
    """It is in the log; the document's status says what comes of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"document_id": DOCUMENT_ID}]})

    document_id: UUID


class DocumentRead(BaseModel):
    """A file and how far its ingestion has come; `stage` and `error` say where and why it failed.

    `pages`, `characters` and `chunks` are null until they are known.
    """

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": DOCUMENT_ID,
                    "filename": "handbook.md",
                    "content_type": "text/markdown",
                    "size": 48_211,
                    "sha256": SHA256,
                    "uploaded_by": "ada",
                    "created_at": "2026-11-21T10:00:00Z",
                    "status": "ready",
                    "stage": None,
                    "error": None,
                    "pages": 1,
                    "characters": 47_990,
                    "chunks": 71,
                }
            ]
        },
    )

    id: UUID
    filename: str
    content_type: str
    size: int
    sha256: str | None
    uploaded_by: str
    created_at: datetime
    status: DocumentStatus
    stage: str | None
    error: str | None
    pages: int | None
    characters: int | None
    chunks: int | None
