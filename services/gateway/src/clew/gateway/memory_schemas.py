"""What clients say and are told about long-term memories."""

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

from clew.contracts.memories import FactSource, RememberedBy
from clew.gateway.schemas import Request

LONGEST = 4000  # characters: a fact, not a document
FactText: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST)]


class MemoryCreate(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "I never fly before nine in the morning."}]})

    text: FactText


class MemoryUpdate(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "I never fly before ten in the morning."}]})

    text: FactText


class MemoryRead(BaseModel):
    """Something that is remembered about the caller. `source`: the run in which an agent learned it. `untrusted`: that
    run had read bytes from outside, and they may be in the text; a run that is told it asks before each effect."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    text: str
    remembered_by: RememberedBy
    source: FactSource | None
    created_at: datetime
    changed_at: datetime
    untrusted: bool


class MemoryForgotten(BaseModel):
    """The log has it: the memory is gone from every view."""

    memory_id: UUID
