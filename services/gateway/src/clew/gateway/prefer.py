"""`Prefer: wait=N` (RFC 7240). Other preferences, and ones that make no sense, are ignored, as the RFC has it."""

import re

MAX_WAIT = 60  # seconds; proxies give up on silent requests at about that
WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=,|;|$)", re.IGNORECASE | re.ASCII)


def wait_preference(prefer: str | None) -> int | None:
    """For how many seconds the client would wait, at most `MAX_WAIT`; None when it would not."""
    match = WAIT.search(prefer or "")
    return min(int(match.group(1)), MAX_WAIT) if match else None
