"""Models by their names in a process that can reach none: for what the code looks up of them, never to be asked."""

from typing import Final

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from clew.models import ModelChoice, ModelConfigError, model_named

KEYS: Final = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY")


def standing_in(name: str) -> ModelChoice:
    """The model by its name, with keys that open nothing; one that cannot be made here is stood for by its name."""
    try:
        return model_named(name, dict.fromkeys(KEYS, "closed"))
    except ModelConfigError:
        stand_in = FunctionModel(_never, model_name=name.partition(":")[2] or name)
        return ModelChoice(stand_in, name, offline=True, banner=None)


async def _never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise AssertionError("a replay asks no model")
