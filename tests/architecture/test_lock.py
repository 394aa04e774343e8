"""What is locked can be installed by anybody: the lock names one index, without a port, a user or a password."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]


def problems(lock: str) -> list[str]:
    """One line for each source in a lock that not everybody may be able to reach."""
    indexes: set[str] = set(re.findall(r'registry = "([^"]+)"', lock))
    files: set[str] = set(re.findall(r'url = "([^"]+)"', lock))
    found = [f"{len(indexes)} indexes are named"] if len(indexes) != 1 else []
    for url in sorted(indexes | files):
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.netloc != parts.hostname or "." not in parts.netloc:
            found.append(f"{parts.scheme} from {parts.hostname} is not for everybody")
    return found


def test_the_lock_names_one_index_that_anybody_can_reach() -> None:
    assert problems((ROOT / "uv.lock").read_text()) == []


@pytest.mark.parametrize(
    "lock",
    [
        'registry = "https://a.example/simple"\nregistry = "https://b.example/simple"',
        'registry = "https://mirror.example:8443/simple"',
        'registry = "https://user:secret@mirror.example/simple"',
        'registry = "http://mirror.example/simple"',
        'registry = "https://mirror/simple"',
        'registry = "https://a.example/simple"\nurl = "http://10.0.0.1/x.whl"',
        "",
    ],
)
def test_what_not_everybody_can_reach_is_found(lock: str) -> None:
    assert problems(lock)
