"""The model that a trial asks: the one that is named, else the recorded one."""

import os

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from clew.contracts.execution import RunStarted
from clew.models import ModelChoice, ModelConfigError, model_named
from clew.replay.errors import CannotReplay
from clew.replay.recording import Recording
from clew.replay.replaying import KEYS


def named(name: str) -> ModelChoice:
    """A model that can be asked. CannotReplay where the environment does not have it."""
    try:
        return model_named(name, os.environ)
    except ModelConfigError as error:
        raise CannotReplay(f"the model {name} cannot be asked: {error}") from error


def recorded_model(recording: Recording, live: bool) -> ModelChoice:
    """The model of the recording. Where nothing is asked, its name is enough."""
    started = next((event for event in recording.events if isinstance(event, RunStarted)), None)
    if started is None:
        raise CannotReplay("the recording ends before the run began")
    if live:
        return named(started.model)
    try:
        return model_named(started.model, dict.fromkeys(KEYS, "closed"))
    except ModelConfigError:
        name = started.model.partition(":")[2] or started.model
        return ModelChoice(FunctionModel(_never, model_name=name), started.model, offline=True, banner=None)


async def _never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise AssertionError("this trial asks no model")
