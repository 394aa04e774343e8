"""The tool that tells the time in a time zone."""

from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic_ai import RunContext

from clew.executor.tools.deps import ToolDeps
from clew.executor.tools.registry import tool


@tool(policy="pure", timeout=timedelta(seconds=5))
def current_time(ctx: RunContext[ToolDeps], timezone: str = "UTC") -> str:
    """Tell the current date and time in a time zone.

    Args:
        timezone: An IANA time zone such as "Europe/London" or "Asia/Tokyo".
    """
    try:
        zone = ZoneInfo(timezone.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is a folder, or too long for a file
        return f"{timezone[:60]!r} is not an IANA time zone; write it like Europe/London, Asia/Tokyo or UTC."
    now = ctx.deps.now().astimezone(zone)
    offset = now.strftime("%z")
    return f"{now:%A, %Y-%m-%d %H:%M:%S} in {zone.key} ({now:%Z}, UTC{offset[:3]}:{offset[3:]})"
