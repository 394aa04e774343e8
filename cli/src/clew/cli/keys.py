"""`clew keys`: making API keys. The gateway reads the file; this is the only place that writes it.

The file is JSON and holds hashes, never keys:

    {"keys": [{"hash": "<sha256 of the key, hex>", "tenant": "acme", "principal": "ada", "created": "<RFC 3339>",
               "roles": ["operator"]}]}
"""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import click

from clew.cli.context import Cli, as_json, pass_cli

PREFIX: Final = "clew_"  # so that secret scanners and people know one when they see it
ENTROPY: Final = 32  # bytes; so much that a plain SHA-256 cannot be turned back
TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ROLES: Final = ("operator",)
LONGEST_PRINCIPAL: Final = 200  # characters
HELP = """Make an API key and add its hash to a file. The key is printed once, and nobody can get it back.

\b
Examples:
  export CLEW_API_KEYS_FILE=keys.json
  clew keys create --tenant acme --principal ada
  export CLEW_TOKEN=$(clew keys create --tenant acme --principal ci)
  clew keys create --tenant acme --principal ops --role operator

A gateway with CLEW_AUTH=api-key and the same CLEW_API_KEYS_FILE takes it at once. To revoke a key, remove its entry.
"""


@click.group()
def keys() -> None:
    """API keys of a gateway that runs with CLEW_AUTH=api-key."""


@keys.command(help=HELP)
@click.option(
    "--file",
    "path",
    envvar="CLEW_API_KEYS_FILE",
    show_envvar=True,
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the hashes are kept; made if it is not there.",
)
@click.option("--tenant", required=True, help="Whose threads, runs and documents the key opens.")
@click.option("--principal", required=True, help="Who uses it: a person or a program.")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="What more its user may do.")
@as_json
@pass_cli
def create(cli: Cli, path: Path, tenant: str, principal: str, roles: tuple[str, ...], as_json: bool) -> None:
    now = datetime.now(UTC)  # noqa: TID251  a command is its own composition root, and has no chassis
    try:
        key = create_key(path, tenant, principal, now, roles)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        cli.out.json({"key": key, "tenant": tenant, "principal": principal, "roles": list(roles), "file": str(path)})
        return
    cli.out.text(key)
    cli.err.note(f"its hash is in {path}; the key itself is shown only here")


def create_key(path: Path, tenant: str, principal: str, now: datetime, roles: Sequence[str] = ()) -> str:
    """Adds a key for `principal` of `tenant` to the file, which is made if there is none, and returns the key.

    It is told only here and now. ValueError when a name cannot be used, or when the file is not a list of keys.
    """
    if not TENANT.fullmatch(tenant):
        raise ValueError("a tenant is 1 to 63 of a-z, 0-9, - and _, and begins with a letter or digit")
    if not 1 <= len(principal) <= LONGEST_PRINCIPAL:
        raise ValueError(f"a principal has 1 to {LONGEST_PRINCIPAL} characters")
    key = PREFIX + secrets.token_urlsafe(ENTROPY)
    entry = {
        "hash": sha256(key.encode()).hexdigest(),
        "tenant": tenant,
        "principal": principal,
        "created": now.isoformat(),
    } | ({"roles": list(roles)} if roles else {})
    _write(path, [*_read(path), entry])
    return key


def _read(path: Path) -> list[Any]:
    """The entries that there are. ValueError when the file holds something else."""
    try:
        document: Any = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{path} is not a list of API keys: {error}") from error
    entries = cast(dict[str, Any], document).get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not a list of API keys")
    return cast(list[Any], entries)


def _write(path: Path, entries: list[Any]) -> None:
    """Puts the whole file in place at once, readable by its owner only: the gateway may be reading it now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        json.dump({"keys": entries}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
