"""Chooses the language model: a provider's, a local one, or the built-in offline model."""

from clew.models.choose import ModelChoice, ModelConfigError, choose_model, model_named
from clew.models.offline import OfflineModel

__all__ = ["ModelChoice", "ModelConfigError", "OfflineModel", "choose_model", "model_named"]
