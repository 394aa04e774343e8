"""API keys: what `clew keys create` writes is what the gateway reads, and nobody else can."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from clew.cli.main import invoke
from clew.gateway.auth import ApiKeys, Principal
from clew.gateway.errors import Unauthenticated

Capture = pytest.CaptureFixture[str]


def create(path: Path, tenant: str = "acme", principal: str = "ada") -> int:
    return invoke(["keys", "create", "--file", str(path), "--tenant", tenant, "--principal", principal])


def test_a_key_is_printed_once_and_only_its_hash_is_kept(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "new" / "keys.json"
    assert create(path) == 0
    captured = capsys.readouterr()
    key = captured.out.strip()
    assert key.startswith("clew_")
    assert key not in captured.err
    [entry] = json.loads(path.read_text())["keys"]
    assert entry["hash"] == sha256(key.encode()).hexdigest()
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_gateway_lets_in_whoever_has_a_key_and_nobody_else(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "keys.json"
    create(path, "acme", "ada")
    create(path, "globex", "bob")
    ada, bob = capsys.readouterr().out.split()
    keys = ApiKeys(path)
    assert keys(ada) == Principal("acme", "ada")
    assert keys(bob) == Principal("globex", "bob")
    with pytest.raises(Unauthenticated):
        keys("clew_guess")


def test_the_key_can_be_had_as_json(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "keys.json"
    assert invoke(["keys", "create", "--file", str(path), "--tenant", "a", "--principal", "b", "--json"]) == 0
    assert ApiKeys(path)(json.loads(capsys.readouterr().out)["key"]) == Principal("a", "b")


@pytest.mark.parametrize("content", ["", "[]", '{"keys": 1}', "{", "\x00"])
def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path, content: str, capsys: Capture) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    assert create(path) == 2
    assert "not a list of API keys" in capsys.readouterr().err
    assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("tenant", "principal"), [("Acme", "a"), ("", "a"), ("a" * 64, "a"), ("a", ""), ("a", "p" * 201)]
)
def test_names_that_the_gateway_would_not_read_are_refused(tmp_path: Path, tenant: str, principal: str) -> None:
    path = tmp_path / "keys.json"
    assert create(path, tenant, principal) == 2
    assert not path.exists()


def test_a_key_has_the_roles_that_it_was_made_with(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "keys.json"
    made = ["keys", "create", "--file", str(path), "--tenant", "a", "--principal", "b"]
    assert invoke([*made, "--role", "operator"]) == 0
    assert ApiKeys(path)(capsys.readouterr().out.strip()).roles == {"operator"}
    assert invoke([*made, "--role", "emperor"]) == 2
