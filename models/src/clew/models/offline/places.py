"""Place names to IANA time zones, for questions such as "what time is it in Tokyo?".

A short table of what people say beside the zone data base's own city names. Not a geocoder.
"""

import re
from functools import cache
from zoneinfo import available_timezones

_ALIASES = {
    "utc": "UTC",
    "gmt": "UTC",
    "nyc": "America/New_York",
    "new york city": "America/New_York",
    "boston": "America/New_York",
    "washington": "America/New_York",
    "miami": "America/New_York",
    "san francisco": "America/Los_Angeles",
    "sf": "America/Los_Angeles",
    "la": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "california": "America/Los_Angeles",
    "texas": "America/Chicago",
    "beijing": "Asia/Shanghai",
    "china": "Asia/Shanghai",
    "mumbai": "Asia/Kolkata",
    "delhi": "Asia/Kolkata",
    "bangalore": "Asia/Kolkata",
    "india": "Asia/Kolkata",
    "japan": "Asia/Tokyo",
    "korea": "Asia/Seoul",
    "uk": "Europe/London",
    "england": "Europe/London",
    "germany": "Europe/Berlin",
    "munich": "Europe/Berlin",
    "france": "Europe/Paris",
    "spain": "Europe/Madrid",
    "italy": "Europe/Rome",
    "geneva": "Europe/Zurich",
    "switzerland": "Europe/Zurich",
}
_ZONE = re.compile(r"\b[A-Z][A-Za-z_]+/[A-Z][A-Za-z_/]+\b")


def zones(text: str) -> tuple[str, ...]:
    """The IANA zones of the places that `text` names, in the order in which they are named, each once."""
    found = [(match.start(), match.group(0)) for match in _ZONE.finditer(text)]
    lowered = re.sub(_ZONE, lambda match: " " * len(match.group(0)), text).lower()
    taken: list[tuple[int, int]] = []
    for name, zone in _names():
        for match in re.finditer(rf"\b{re.escape(name)}\b", lowered):
            if not any(start < match.end() and match.start() < end for start, end in taken):
                taken.append(match.span())
                found.append((match.start(), zone))
    return tuple(dict.fromkeys(zone for _, zone in sorted(found)))


@cache
def _names() -> tuple[tuple[str, str], ...]:
    """Names in lower case with their zones, the longest first, so that "new york city" wins over "york"."""
    named = {
        zone.rsplit("/", 1)[1].replace("_", " ").lower(): zone
        for zone in sorted(available_timezones())
        if "/" in zone and zone.split("/", 1)[0] not in {"Etc", "SystemV", "posix", "right", "US"}
    }
    return tuple(sorted({**named, **_ALIASES}.items(), key=lambda item: (-len(item[0]), item[0])))
