"""How patiently a model is asked, and which of its failures may pass. Pure: it neither asks nor waits."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic_ai.exceptions import (
    ModelConnectionError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelServerError,
    ModelUnavailableError,
)

PASSING = (ModelConnectionError, ModelRateLimitError, ModelRequestTimeout, ModelServerError, ModelUnavailableError)


class ModelBroke(Exception):
    """A model client failed in a way that pydantic-ai has no word for; the message is the client's own."""


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """How patiently a model is asked: `attempts` in all for a failure that may pass, each within `timeout`."""

    attempts: int = 4
    timeout: timedelta = timedelta(minutes=5)
    backoff: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(minutes=1)

    def wait(self, error: Exception, attempt: int) -> timedelta | None:
        """How long to wait after the failure of the `attempt`-th try; None when asking again is of no use."""
        if attempt >= self.attempts or not isinstance(error, PASSING):
            return None
        if error.retry_after is not None:
            too_long = error.retry_after > self.longest_wait.total_seconds()  # perhaps more than a timedelta can hold
            return None if too_long else timedelta(seconds=error.retry_after)
        return min(self.backoff * 2 ** (attempt - 1), self.longest_wait)
