"""Who gets in."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clew.chassis.errors import StartError
from clew.cli.keys import create_key
from clew.gateway.auth import ApiKeys, Principal, bearer, nobody_asked
from clew.gateway.errors import Unauthenticated, Unavailable

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "api-keys.json"


def spoil(path: Path, text: str | None) -> None:
    """Puts another text into the file, or takes it away."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


def test_a_key_that_was_made_lets_its_owner_in(path: Path) -> None:
    keys = {who: create_key(path, who, "ada", NOW) for who in ("acme", "globex")}
    authenticate = ApiKeys(path)
    for who, key in keys.items():
        assert authenticate(key) == Principal(who, "ada")


def test_the_file_holds_no_key_and_belongs_to_its_owner_alone(path: Path) -> None:
    key = create_key(path, "acme", "ada", NOW)
    assert key.startswith("clew_")
    assert len(key) > 40
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("token", [None, "", "clew_", "clew_guess", "caf\u00e9"])
def test_nobody_else_gets_in(path: Path, token: str | None) -> None:
    create_key(path, "acme", "ada", NOW)
    with pytest.raises(Unauthenticated):
        ApiKeys(path)(token)


def test_the_hash_of_a_key_is_no_key(path: Path) -> None:
    create_key(path, "acme", "ada", NOW)
    digest = json.loads(path.read_text())["keys"][0]["hash"]
    with pytest.raises(Unauthenticated):
        ApiKeys(path)(digest)


def test_a_change_of_the_file_counts_at_once(path: Path) -> None:
    first = create_key(path, "acme", "ada", NOW)
    authenticate = ApiKeys(path)
    authenticate(first)
    second = create_key(path, "acme", "bob", NOW)
    assert authenticate(second).subject == "bob"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"keys": document["keys"][1:]}))
    with pytest.raises(Unauthenticated):
        authenticate(first)
    assert authenticate(second).subject == "bob"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": [{"hash": "x"}]}', None])
async def test_while_the_file_cannot_be_read_nobody_gets_in(path: Path, text: str | None) -> None:
    key = create_key(path, "acme", "ada", NOW)
    authenticate = ApiKeys(path)
    assert authenticate(key)
    assert await authenticate.check() is None
    spoil(path, text)
    for _ in range(2):
        with pytest.raises(Unavailable):
            authenticate(key)
    assert str(path) in (await authenticate.check() or "")


def test_a_file_of_another_kind_is_not_overwritten(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[1]")
    with pytest.raises(ValueError, match="not a list of API keys"):
        create_key(path, "acme", "ada", NOW)
    assert path.read_text() == "[1]"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_without_authentication_only_this_machine_is_served(host: str) -> None:
    assert nobody_asked(host)(None) == Principal("local", "user", frozenset({"operator"}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "clew.example", "127.0.0.1.example", ""])
def test_without_authentication_nothing_else_is_listened_on(host: str) -> None:
    with pytest.raises(StartError, match="CLEW_AUTH"):
        nobody_asked(host)


def test_a_bearer_token_is_read_from_its_header() -> None:
    assert bearer(None) is None
    assert bearer("Bearer abc") == bearer("bearer  abc ") == "abc"
    for other in ("", "Bearer", "Bearer ", "Basic abc", "abc"):
        with pytest.raises(Unauthenticated):
            bearer(other)
