"""Chooses the language model: a provider's, a local one, or the built-in offline model; and who makes `embedding`s.

What asks language models is loaded when it is first named: services that only have texts compared install none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.models.choose import ModelChoice, ModelConfigError, choose_model, model_named
    from clew.models.offline import OfflineModel

__all__ = ["ModelChoice", "ModelConfigError", "OfflineModel", "choose_model", "model_named"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("clew.models.offline" if name == "OfflineModel" else "clew.models.choose"), name)
