"""A moment as people write it on a command line, for the commands of all packages."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """`15m`, `2h`, `3d` ago, or a moment such as 2026-03-02T09:30:00Z."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if match := re.fullmatch(r"(\d+)([smhd])", value):
            ago = timedelta(**{UNITS[match[2]]: int(match[1])})
            return datetime.now(UTC) - ago  # noqa: TID251  a command is its own composition root, and has no chassis
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is neither like 15m nor like 2026-03-02T09:30:00Z", param, ctx)
