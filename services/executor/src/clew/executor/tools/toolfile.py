"""Files that name tools outside of this process: MCP servers and HTTP endpoints, each with what they may be trusted to.

They are TOML files beside the Python ones. Reading says what is wrong and in which field; it connects to nothing.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from clew.contracts.execution import EffectPolicy
from clew.executor.effects import Approval, ToolTraits
from clew.executor.tools.registry import BadTool

Policy = Literal["pure", "idempotent", "ask"]  # a reconciler is code: it belongs into a Python file


class Terms(BaseModel):
    """How a tool may be called: what is not said is as careful as it can be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Policy | None = None
    approval: bool = False
    timeout_seconds: float = Field(60, gt=0, le=3600)
    trusted: bool = False

    def traits(self, otherwise: EffectPolicy = "ask") -> ToolTraits:
        """`otherwise` is the policy where none is configured."""
        asks: Approval = "always" if self.approval else "untrusted"
        timeout = timedelta(seconds=self.timeout_seconds)
        return ToolTraits(self.policy or otherwise, not self.trusted, timeout, asks)


class McpServer(Terms):
    """One MCP server: a `command` to run or a `url`. Its own terms are those of every tool not named in `tools`.

    `env` are the variables of the environment that the command is given, `headers` maps the header of each request to
    the variable that has its value. `prefix` goes before the names of its tools.
    """

    command: tuple[str, ...] = Field((), min_length=1)
    url: HttpUrl | None = None
    env: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    prefix: str = Field("", pattern="^[a-zA-Z0-9_-]*$", max_length=32)
    tools: dict[str, Terms] = {}

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.command) == (self.url is not None):
            raise ValueError("either a command or a url must be given")
        if self.command and self.headers:
            raise ValueError("headers belong to a url")
        return self


class HttpTool(Terms):
    """One endpoint that is a tool: the arguments are posted to `url` as JSON, the answer is the result."""

    url: HttpUrl
    description: str = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _an_object(self) -> Self:
        if self.parameters.get("type") != "object":
            raise ValueError('parameters must be a JSON Schema of "type": "object"')
        return self


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mcp: dict[str, McpServer] = {}
    http: dict[str, HttpTool] = {}


@dataclass(frozen=True, slots=True)
class Configured:
    """A section of a file. `place` names both, for messages."""

    name: str
    place: str
    section: McpServer | HttpTool


def read_tool_files(folder: Path, environ: Mapping[str, str] = os.environ) -> list[Configured]:
    """The sections of every `*.toml` in the folder, by file name. Names that begin with `_` or `.` are left out.

    Raises:
        BadTool: names the file, the field and what is wrong with it, in one line.
    """
    paths = [path for path in sorted(folder.glob("*.toml")) if not path.name.startswith(("_", "."))]
    return [configured for path in paths for configured in _sections(path, environ)]


def _sections(path: Path, environ: Mapping[str, str]) -> Iterator[Configured]:
    try:
        content = _Content.model_validate(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadTool(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise BadTool(f"{path}: {_faults(error)}") from error
    for kind, sections in (("mcp", content.mcp), ("http", content.http)):
        for name, section in sections.items():
            place = f"{path}: {kind}.{name}"
            _check_variables(place, section, environ)
            yield Configured(name, place, section)


def _faults(error: ValidationError) -> str:
    said = [(".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in error.errors()]
    return "; ".join(f"{field}: {message}" for field, message in said)


def _check_variables(place: str, section: McpServer | HttpTool, environ: Mapping[str, str]) -> None:
    named = [(f"headers.{header}", variable) for header, variable in section.headers.items()]
    if isinstance(section, McpServer):
        named += [("env", variable) for variable in section.env]
    for field, variable in named:
        if variable not in environ:
            raise BadTool(f"{place}.{field}: the environment has no {variable}")


def headers_of(section: McpServer | HttpTool, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The headers with their values, which are secrets and not in the file."""
    return {header: environ[variable] for header, variable in section.headers.items()}
