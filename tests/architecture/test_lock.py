"""What is locked can be installed by anybody: no mirror is named."""

import re
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
PUBLIC = {"pypi.org", "files.pythonhosted.org"}


def hosts(lock: str) -> set[str | None]:
    """Every host that a lock names as the source of something."""
    return {urlsplit(url).hostname for url in re.findall(r'(?:registry|url) = "([^"]+)"', lock)}


def test_the_lock_names_the_public_index_only() -> None:
    assert hosts((ROOT / "uv.lock").read_text()) == PUBLIC


def test_a_mirror_in_the_lock_is_found() -> None:
    lock = 'source = { registry = "https://mirror.example/simple" }\nsdist = { url = "https://pypi.org/x.tar.gz" }'
    assert hosts(lock) == {"mirror.example", "pypi.org"}
