"""The built-in offline model: rule-based, deterministic, streaming, tool-calling, no network.

It lets Clew be tried, demonstrated and tested without a key. It recognises a handful of requests, really
calls tools for them and quotes what they returned. It is not a language model and says so in its answers.
"""

from clew.models.offline.model import OFFLINE_MODEL_NAME, OfflineModel

__all__ = ["OFFLINE_MODEL_NAME", "OfflineModel"]
