"""The executor's settings, read from the environment. Model, search provider and egress rules have readers of their own
(`clew.models`, `search`, `egress_policy`), which take the environment as it is."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from clew.chassis.settings import DatabaseSettings
from clew.executor.compaction import LONGEST_HISTORY
from clew.executor.limits import LifeLimits, RunLimits
from clew.executor.model_policy import ModelPolicy
from clew.executor.results import MOST_BYTES
from clew.models.embedding import EmbeddingSettings


class Settings(DatabaseSettings, EmbeddingSettings):
    """How patient the executor is, how much it does at once, and where more tools are."""

    model_request_seconds: float = Field(
        300, gt=0, validation_alias="CLEW_MODEL_REQUEST_SECONDS", description="Time limit of one model request"
    )
    model_attempts: int = Field(
        4, ge=1, validation_alias="CLEW_MODEL_ATTEMPTS", description="Tries of a model request that failed in passing"
    )
    model_pause_seconds: float = Field(
        1, ge=0, validation_alias="CLEW_MODEL_PAUSE_SECONDS", description="First pause between tries; it doubles"
    )
    step_requests: int = Field(
        20, ge=1, validation_alias="CLEW_STEP_REQUESTS", description="Model requests that one step may make"
    )
    tool_endpoint_seconds: float = Field(
        20, gt=0, validation_alias="CLEW_SEARCH_SECONDS", description="Time limit of one request to the search provider"
    )

    run_seconds: float = Field(
        3600, gt=0, validation_alias="CLEW_RUN_SECONDS", description="Time limit of a run, without the time it sleeps"
    )
    cancel_grace_seconds: float = Field(
        1.5,
        ge=0,
        validation_alias="CLEW_CANCEL_GRACE_SECONDS",
        description="How long a tool that shields itself from a cancel is waited for before it is abandoned",
    )
    open_runs: int = Field(
        2000, ge=1, validation_alias="CLEW_OPEN_RUNS", description="Runs under way at once; more plans wait"
    )
    resumptions: int = Field(
        64, ge=1, validation_alias="CLEW_RESUMPTIONS", description="Runs that are taken up at once after a take-over"
    )
    approval_days: float = Field(
        90, gt=0, validation_alias="CLEW_APPROVAL_DAYS", description="How long a person may take to decide; then: no"
    )
    run_depth: int = Field(
        4, ge=0, validation_alias="CLEW_RUN_DEPTH", description="Levels of child runs below a run without a budget"
    )

    @property
    def run_limits(self) -> RunLimits:
        grace = timedelta(seconds=self.cancel_grace_seconds)
        return RunLimits(
            life=LifeLimits(run=timedelta(seconds=self.run_seconds), grace=grace),
            open_runs=self.open_runs,
            resumptions=self.resumptions,
            approval=timedelta(days=self.approval_days),
            depth=self.run_depth,
        )

    history_characters: int = Field(
        LONGEST_HISTORY,
        ge=1000,
        validation_alias="CLEW_HISTORY_CHARACTERS",
        description="Characters of a conversation that a model is told word by word; of more, a summary is made",
    )
    tools_path: Path | None = Field(
        None,
        validation_alias="CLEW_TOOLS_PATH",
        description="Folder of tools of your own: Python files, and TOML files that name MCP servers and HTTP tools",
    )
    tool_result_bytes: int = Field(
        MOST_BYTES,
        ge=1,
        validation_alias="CLEW_TOOL_RESULT_BYTES",
        description="Most bytes of a tool's result, as JSON",
    )

    @property
    def model_policy(self) -> ModelPolicy:
        return ModelPolicy(
            attempts=self.model_attempts,
            timeout=timedelta(seconds=self.model_request_seconds),
            backoff=timedelta(seconds=self.model_pause_seconds),
        )
