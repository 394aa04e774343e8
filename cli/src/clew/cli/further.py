"""Commands that other packages bring along, found by their entry points in `clew.commands`.

The name of an entry point is its place: `dlq` is `clew dlq`, `events.tail` is `clew events tail`.
"""

from importlib.metadata import entry_points
from typing import Any

import click

GROUP = "clew.commands"


class DefaultGroup(click.Group):
    """A group whose name alone is a command too: `clew events RUN` beside `clew events tail`."""

    default: click.Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            assert self.default.name is not None
            args = [self.default.name, *args]
        return super().parse_args(ctx, args)


def with_default(default: click.Command, **attributes: Any) -> DefaultGroup:
    """A group that does what `default` does when no subcommand is named."""
    group = DefaultGroup(**attributes)
    group.default = default
    group.add_command(default)
    return group


def add_installed(root: click.Group) -> None:
    """Adds the commands of the packages that are installed beside this one."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        *above, name = point.name.split(".")
        group = root
        for part in above:
            found = group.commands[part]
            assert isinstance(found, click.Group), f"{part} takes no subcommands"
            group = found
        group.add_command(point.load(), name)
