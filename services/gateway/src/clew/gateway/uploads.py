"""Documents, from the wish to upload one to the event that says it is there. Bytes go past the gateway, to the store.

It keeps no state: the store knows what was declared and which parts have arrived, the log what came of it.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from clew.contracts.documents import CONTENT_TYPES, MAX_DOCUMENT_BYTES, DocumentDeleted, DocumentUploaded
from clew.contracts.envelope import Event, Position, derive, root_stamp
from clew.contracts.topics import topic_of
from clew.gateway.auth import Principal
from clew.gateway.commands import SAME_KEY, Asked, publish
from clew.gateway.deps import Deps
from clew.gateway.document_schemas import DocumentComplete, DocumentCreate, PartRead, UploadRead
from clew.gateway.errors import (
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
    WrongMediaType,
)
from clew.gateway.files import Declared, Stored, Upload
from clew.gateway.ids import Write, request_hash
from clew.gateway.reading import look_up
from clew.gateway.storage import DocumentStore, PartsRefused, StoreUnavailable, Taken
from clew.views.models import Document

DOCUMENTS: Final = topic_of(DocumentUploaded).name
CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?utf-8"?', re.IGNORECASE)
ENDINGS: Final = {".txt": "text/plain", ".text": "text/plain", ".md": "text/markdown", ".markdown": "text/markdown"}


async def begin(deps: Deps, ask: Asked, body: DocumentCreate) -> UploadRead:
    """An upload with a URL for each part, or the one that an earlier request under the same key has begun."""
    if body.size > MAX_DOCUMENT_BYTES:
        detail = f"a document holds at most {MAX_DOCUMENT_BYTES} bytes"
        raise TooLarge(detail, errors=[FieldError(pointer="#/size", detail=detail)])
    declared = Declared(
        filename=body.filename,
        content_type=media_type(body.filename, body.content_type),
        size=body.size,
        part_size=body.part_size,
        sha256=body.sha256,
        principal=ask.caller.subject,
    )
    document_id = ask.id("document")
    with store_reached():
        try:
            found = await deps.files.begin(ask.caller.tenant_id, document_id, declared)
        except Taken as error:
            raise Conflict(f"{SAME_KEY} {error}") from None
    return upload_read(deps.files, document_id, found)


async def resume(deps: Deps, caller: Principal, document_id: UUID) -> UploadRead:
    """What has arrived, with fresh URLs. NotFound when nothing was begun under the id."""
    return upload_read(deps.files, document_id, await _found(deps, caller, document_id))


async def complete(deps: Deps, caller: Principal, document_id: UUID, body: DocumentComplete) -> Position:
    """Makes the file out of its parts and says so in the log. Repeating it says the same again."""
    found = await _found(deps, caller, document_id)
    if isinstance(found, Upload):
        with store_reached():
            try:
                found = await deps.files.complete(found, [(part.number, part.etag) for part in body.parts])
            except PartsRefused as refused:
                raise _invalid_parts(refused) from None
    declared = found.declared
    event = DocumentUploaded(
        **root_stamp(derive(document_id, "uploaded"), caller.tenant_id, deps.clock()),
        document_id=document_id,
        filename=declared.filename,
        content_type=declared.content_type,
        size=declared.size,
        object_key=found.place.key,
        sha256=declared.sha256,
        uploaded_by=declared.principal,
    )
    return await _append(deps, event, document_id, request_hash(body))


async def delete(deps: Deps, caller: Principal, document_id: UUID) -> Position | None:
    """Says in the log that the document is deleted; None when it was an unfinished upload, which is just ended."""
    if await deps.views.tenant(caller.tenant_id).document(document_id) is None:
        found = await _found(deps, caller, document_id)
        if isinstance(found, Upload):
            with store_reached():
                await deps.files.abandon(found)
            return None
    event = DocumentDeleted(
        **root_stamp(derive(document_id, "deleted"), caller.tenant_id, deps.clock()),
        document_id=document_id,
        deleted_by=caller.subject,
    )
    return await _append(deps, event, document_id, "")


async def find_document(deps: Deps, caller: Principal, document_id: UUID) -> Document:
    """The caller's document. NotFound when it is not in the log; Unavailable when nobody can tell."""
    views = deps.views.tenant(caller.tenant_id)
    missing = f"There is no document {document_id}; one that is not completed yet is at its /parts."
    return await look_up(deps, document_id, lambda: views.document(document_id), DOCUMENTS, missing)


def media_type(filename: str, declared: str | None) -> str:
    """What the file is: as declared, else as its name ends. WrongMediaType, naming what is accepted."""
    bare = CHARSET.sub("", declared).strip().lower() if declared is not None else None
    found = ENDINGS.get(PurePosixPath(filename.lower()).suffix) if bare is None else bare
    if found not in CONTENT_TYPES:
        what = f"{declared!r} is" if declared is not None else "what the file's name says is"
        raise WrongMediaType(
            f"Accepted are {' and '.join(CONTENT_TYPES)} in UTF-8; {what} none of them.",
            errors=[FieldError(pointer="#/content_type", detail=f"not one of {', '.join(CONTENT_TYPES)}")],
        )
    return found


def upload_read(store: DocumentStore, document_id: UUID, found: Upload | Stored) -> UploadRead:
    """The state of an upload as clients see it."""
    parts: list[PartRead] = []
    if isinstance(found, Upload):
        arrived = {part.number: part for part in found.arrived}
        parts = [
            PartRead(
                number=number,
                url=store.part_url(found, number),
                etag=arrived[number].etag if number in arrived else None,
                size=arrived[number].size if number in arrived else None,
            )
            for number in range(1, found.place.part_count + 1)
        ]
    return UploadRead(
        document_id=document_id,
        upload_id=found.upload_id if isinstance(found, Upload) else None,
        size=found.place.size,
        part_size=found.place.part_size,
        completed=isinstance(found, Stored),
        parts=parts,
    )


@contextmanager
def store_reached() -> Generator[None]:
    """Around what asks the object store: Unavailable when it is away."""
    try:
        yield
    except StoreUnavailable as error:
        raise Unavailable("The object store cannot be used now.") from error


async def _found(deps: Deps, caller: Principal, document_id: UUID) -> Upload | Stored:
    with store_reached():
        found = await deps.files.find(caller.tenant_id, document_id)
    if found is None:
        raise NotFound(f"There is no document {document_id}.")
    return found


def _invalid_parts(refused: PartsRefused) -> Invalid:
    errors = [
        FieldError(pointer="#/parts" if index is None else f"#/parts/{index}", detail=text)
        for index, text in refused.problems
    ]
    return Invalid("; ".join(f"{error.pointer}: {error.detail}" for error in errors[:3]), errors=errors)


async def _append(deps: Deps, event: Event, document_id: UUID, said: str) -> Position:
    position = await publish(deps, [event], {"document_id": str(document_id)})
    deps.recent.put(document_id, Write(said, position))
    return position
