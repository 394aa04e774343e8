"""The model that a trial asks: the one that is named, else the recorded one."""

import os

from clew.contracts.execution import RunStarted
from clew.models import ModelChoice, ModelConfigError, model_named
from clew.replay.errors import CannotReplay
from clew.replay.recording import Recording
from clew.replay.standins import standing_in


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
    return standing_in(started.model)
