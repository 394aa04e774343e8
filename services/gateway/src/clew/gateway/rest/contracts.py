"""The events behind the API, for who wants to read the log: an AsyncAPI document beside `/openapi.json`."""

import json
from functools import cache
from importlib.metadata import version

from fastapi import APIRouter, Response

from clew.contracts.asyncapi import asyncapi
from clew.contracts.topics import load_topics

router = APIRouter()


@router.get("/asyncapi", include_in_schema=False)
async def read_contracts() -> Response:
    """All topics and events, to anybody, as `/openapi.json` is."""
    return Response(_document(), media_type="application/json")


@cache
def _document() -> bytes:
    return json.dumps(asyncapi(load_topics(), version("clew-contracts")), ensure_ascii=False).encode()
