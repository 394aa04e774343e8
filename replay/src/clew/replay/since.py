"""A moment as people write it on a command line."""

import re
from datetime import datetime, timedelta
from typing import Any, Final

import click

from clew.chassis.clock import now

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """`15m`, `2h`, `3d` ago, or a moment such as 2026-03-02T09:30:00Z."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if match := re.fullmatch(r"(\d+)([smhd])", value):
            return now() - timedelta(**{UNITS[match[2]]: int(match[1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is neither like 15m nor like 2026-03-02T09:30:00Z", param, ctx)
