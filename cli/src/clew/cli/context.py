"""What every command is given: where the gateway is, how to reach it, and where to print."""

import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import httpx2

from clew.cli.client import Client
from clew.cli.errors import Failure, Refused
from clew.cli.gateway import Gateway, Patience
from clew.cli.imported import Moments, imported
from clew.cli.lines import Line
from clew.cli.safe import one_line
from clew.cli.screen import Screen, stderr, stdout

DEFAULT_URL = "http://127.0.0.1:8000"
PATIENT = Patience(away=timedelta(minutes=5), broken=timedelta(minutes=5))


@dataclass
class Cli:
    """The global options, and what they make."""

    url: str
    token: str | None
    patience: Patience = field(default_factory=Patience)

    @cached_property
    def out(self) -> Screen:
        """Results."""
        return stdout()

    @cached_property
    def err(self) -> Screen:
        """Everything else: progress, notices, problems."""
        return stderr()

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self.url, self.token, self.patience, self.err.note)

    @cached_property
    def client(self) -> Client:
        return Client(self.gateway)

    def looking(self, run_id: str) -> Moments:
        """Who tells of a run: the recording that was imported of it, else the gateway."""
        found = imported(run_id)
        if found is None:
            return self.client
        self.err.note(f"run {run_id} as it was imported; nothing is asked of the gateway")
        return found

    def show_failure(self, failure: Failure) -> None:
        """A failure on stderr, with the fields that a problem names."""
        self.err.line(Line("✗", one_line(str(failure)), "bad"))
        if isinstance(failure, Refused):
            for pointer, detail in failure.problem.errors:
                self.err.line(Line("·", one_line(f"{pointer}: {detail}"), "bad", depth=1))

    def close(self) -> None:
        if "gateway" in self.__dict__:
            self.gateway.close()


def text_of(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def ascii_only(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """What goes into a header of HTTP. BadParameter for what cannot."""
    if value and not re.fullmatch(r"[\x21-\x7e]+", value):
        raise click.BadParameter("holds only visible ASCII characters")
    return value


def http_url(context: click.Context, option: click.Parameter, value: str) -> str:
    """Where a gateway can be. BadParameter for what is no URL of HTTP."""
    try:
        url = httpx2.URL(value)
    except httpx2.InvalidURL as error:
        raise click.BadParameter(str(error)) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise click.BadParameter("is like http://127.0.0.1:8000")
    return value.rstrip("/")


class NewFile(click.Path):
    """A file to be written when the work is done. What cannot be is refused before it begins."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        super().convert(value, param, ctx)
        if not path.exists() and not os.access(path.parent, os.W_OK):
            self.fail(f"{value} cannot be written: {path.parent} is no folder that takes files", param, ctx)
        return path


pass_cli = click.make_pass_decorator(Cli)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, one value a line.")
