"""Making API keys. The gateway reads the file; this is the only place that writes it.

The format is described in `clew.gateway.auth`: a JSON list of hashes, never of keys.
"""

import json
import os
import secrets
import tempfile
from datetime import datetime
from hashlib import sha256
from pathlib import Path

PREFIX = "clew_"  # so that secret scanners and people know one when they see it
ENTROPY = 32  # bytes; so much that a plain SHA-256 cannot be turned back


def create_key(path: Path, tenant: str, principal: str, now: datetime) -> str:
    """Adds a key for `principal` of `tenant` to the file, which is made if there is none, and returns the key.

    It is told only here and now. ValueError when the file is not a list of keys.
    """
    key = PREFIX + secrets.token_urlsafe(ENTROPY)
    entry = {
        "hash": sha256(key.encode()).hexdigest(),
        "tenant": tenant,
        "principal": principal,
        "created": now.isoformat(),
    }
    _write(path, [*_read(path), entry])
    return key


def _read(path: Path) -> list[object]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    match document:
        case {"keys": [*keys]}:
            return list[object](keys)
        case _:
            raise ValueError(f"{path} is not a list of API keys")


def _write(path: Path, keys: list[object]) -> None:
    """Puts the whole file in place at once, readable by its owner only: the gateway may be reading it now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        json.dump({"keys": keys}, file, indent=2)
    os.replace(temporary, path)
