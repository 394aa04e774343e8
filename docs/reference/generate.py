"""Writes the reference pages: `python -m docs.reference.generate [--check]`.

`settings.md` comes from the settings classes, `metrics.md` from the metric definitions, the pictures from `screens`.
What is read from the environment without a settings class stands in `variables`. What a service does with a value is
its code's.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from clew.chassis.access import LogAccess
from clew.chassis.settings import DatabaseSettings, ServiceSettings
from clew.chassis.topics import TopicSettings
from clew.contracts.topics import SERVICES
from clew.models.embedding import EmbeddingSettings
from docs.reference.metrics import definitions
from docs.reference.screens import screens
from docs.reference.variables import GROUPS

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by python -m docs.reference.generate. Change the code instead. -->\n"
SETTINGS = """\
# Settings

Everything is read from the environment when a process starts. A value that cannot be used stops the start with one
line that names the variable. `make run` sets what the services need to find the parts of the local stack. When
`KAFKA_BOOTSTRAP_SERVERS`, `DATABASE_URL`, `REDIS_URL` or `S3_ENDPOINT` is set already, that part is used instead.

"""
METRICS = """\
# Metrics

Each process serves its own in Prometheus' format under `/metrics`: the gateway on its port, every other service on its
health port. A counter's name ends in `_total`, a histogram's samples in `_bucket`, `_sum` and `_count`. All times are
in seconds.

"""


def pages() -> dict[str, str]:
    """The text of every page, by its file name."""
    pictures = {f"images/{name}": svg for name, svg in screens().items()}
    return {"settings.md": NOTE + SETTINGS + _settings(), "metrics.md": NOTE + METRICS + _metrics(), **pictures}


def out_of_date(folder: Path) -> list[str]:
    """The pages that are missing or differ."""
    return [name for name, text in pages().items() if _read(folder / name) != text]


def _settings() -> str:
    own = {name: settings for name in SERVICES if (settings := _settings_of(name))}
    sections = [
        _section("The log: every service, the job that creates topics, operators' commands", _rows(LogAccess)),
        _section("Every service", _rows(ServiceSettings)),
        _section("Services that read or write the views: gateway, planner, executor, memory", _rows(DatabaseSettings)),
        _section("Comparing by meaning: the same services", _rows(EmbeddingSettings)),
        *(_section(name.capitalize(), rows) for name, settings in own.items() if (rows := _rows(settings))),
        _section("The job that creates topics, `python -m clew.chassis.topics`", _rows(TopicSettings)),
        *(_section(title, rows) for title, rows in GROUPS.items()),
    ]
    return "\n".join(sections)


def _settings_of(service: str) -> type[BaseSettings]:
    return import_module(f"clew.{service}.settings").Settings


def _rows(settings: type[BaseSettings]) -> list[tuple[str, ...]]:
    """Variable, values, default and meaning of the fields that a class adds to the one it extends."""
    schema = settings.model_json_schema()
    inherited: set[str] = set()
    for base in settings.__mro__[1:]:
        if issubclass(base, BaseSettings) and base is not BaseSettings:
            inherited |= base.model_json_schema()["properties"].keys()
    required = schema.get("required", ())
    return [
        (name, _values(field), "required" if name in required else _default(field), field["description"])
        for name, field in schema["properties"].items()
        if name not in inherited
    ]


def _values(field: Mapping[str, Any]) -> str:  # Any: JSON Schema
    variants: list[Mapping[str, Any]] = [v for v in field.get("anyOf", [field]) if v.get("type") != "null"]
    schema = variants[0]
    match schema:
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "integer" | "number"}:
            return _number(schema)
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"type": "array"}:
            return "list, comma-separated"
        case {"format": "password"}:
            return "secret"
        case {"format": "path"}:
            return "path"
        case {"pattern": pattern}:
            return f"text like `{pattern}`"
        case _:
            return "text"


def _number(schema: Mapping[str, Any]) -> str:
    name = "whole number" if schema["type"] == "integer" else "number"
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    return " ".join([name, *(f"{word} {schema[key]:g}" for key, word in words.items() if key in schema)])


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    shown = str(default).lower() if isinstance(default, bool) else default
    return "" if default in (None, "", []) else f"`{shown}`"


def _section(title: str, rows: Iterable[Sequence[str]]) -> str:
    body = _table(("variable", "values", "default", "meaning"), ((f"`{name}`", *rest) for name, *rest in rows))
    return f"## {title}\n\n{body}"


def _metrics() -> str:
    sections: list[str] = []
    shared = {"chassis": "Every service", "views": "Services that read the views"}
    titles: dict[str, str] = shared | {name: name.capitalize() for name in SERVICES}
    for module, title in titles.items():
        if (spec := find_spec(f"clew.{module}.metrics")) is not None and spec.origin is not None:
            rows = ((f"`{m.name}`", m.kind, m.labels, m.meaning) for m in definitions(Path(spec.origin).read_text()))
            sections.append(f"## {title}\n\n" + _table(("metric", "kind", "labels", "meaning"), rows))
    return "\n".join(sections)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print, folder: Path = FOLDER) -> int:
    """0, or 1 when `--check` finds a page that is out of date."""
    parser = argparse.ArgumentParser(prog="python -m docs.reference.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is out of date")
    check: bool = parser.parse_args(arguments).check
    stale = out_of_date(folder)
    for name in stale:
        if not check:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[name], encoding="utf-8")
        say(f"{folder / name} is out of date: run python -m docs.reference.generate" if check else f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
