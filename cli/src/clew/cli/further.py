"""Commands that other packages bring along, found by their entry points in `clew.commands`.

The name of an entry point is its place: `dlq` is `clew dlq`, `events.tail` is `clew events tail`. A package is imported
when one of its commands is asked for: importing all of them takes longer than most commands.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

GROUP = "clew.commands"


class OpenGroup(click.Group):
    """A group that other packages add commands to, which are loaded when they are looked at."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.further: dict[str, EntryPoint] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self.further})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (point := self.further.pop(cmd_name, None)) is not None:
            self.add_command(point.load(), cmd_name)
        return super().get_command(ctx, cmd_name)


class DefaultGroup(OpenGroup):
    """A group whose name alone is a command too: `clew events RUN` beside `clew events tail`."""

    default: click.Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.list_commands(ctx) and args[0] not in ctx.help_option_names:
            assert self.default.name is not None
            args = [self.default.name, *args]
        return super().parse_args(ctx, args)


def with_default(default: click.Command, **attributes: Any) -> DefaultGroup:
    """A group that does what `default` does when no subcommand is named."""
    group = DefaultGroup(**attributes)
    group.default = default
    group.add_command(default)
    return group


def add_installed(root: OpenGroup) -> None:
    """Adds the commands of the packages that are installed beside this one."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        *above, name = point.name.split(".")
        group: click.Group = root
        for part in above:
            found = group.commands[part]
            assert isinstance(found, OpenGroup), f"{part} takes no commands of other packages"
            group = found
        assert isinstance(group, OpenGroup)
        group.further[name] = point
