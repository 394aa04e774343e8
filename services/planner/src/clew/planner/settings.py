"""The planner's settings, read from the environment. Which model it asks is chosen by `clew.models`."""

from datetime import timedelta

from pydantic import Field

from clew.chassis.settings import DatabaseSettings
from clew.models.embedding import EmbeddingSettings
from clew.planner.requests import Limits


class Settings(DatabaseSettings, EmbeddingSettings):
    """How long the planner waits for its model."""

    model_request_seconds: float = Field(
        60, gt=0, validation_alias="CLEW_PLANNER_REQUEST_SECONDS", description="Time limit of one model request"
    )
    model_total_seconds: float = Field(
        180, gt=0, validation_alias="CLEW_PLANNER_TOTAL_SECONDS", description="Time limit of all requests for one plan"
    )
    model_attempts: int = Field(
        4, ge=1, validation_alias="CLEW_PLANNER_ATTEMPTS", description="Tries of a request that failed in passing"
    )
    model_pause_seconds: float = Field(
        1, ge=0, validation_alias="CLEW_PLANNER_PAUSE_SECONDS", description="First pause between tries; it doubles"
    )

    @property
    def limits(self) -> Limits:
        return Limits(
            request=timedelta(seconds=self.model_request_seconds),
            total=timedelta(seconds=self.model_total_seconds),
            attempts=self.model_attempts,
            first_pause=timedelta(seconds=self.model_pause_seconds),
        )
