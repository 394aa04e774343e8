"""`Prefer: wait=N`."""

import pytest

from clew.gateway.prefer import MAX_WAIT, wait_preference


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=5", 5),
        ("Wait = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=10", 10),
        ("wait=10; x=1, respond-async", 10),
        ("wait=0", 0),
        ("wait=3600", MAX_WAIT),
        ("await=5", None),
        ("wait", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("wait=1.5", None),
        ("wait=99999999999", None),
    ],
)
def test_how_long_a_client_would_wait(header: str | None, seconds: int | None) -> None:
    assert wait_preference(header) == seconds
