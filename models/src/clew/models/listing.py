"""Asks an OpenAI-compatible server which models it has. One request, short time-out, no retries."""

import httpx2
from pydantic import BaseModel, ValidationError


class ListingFailed(Exception):
    """The server did not answer with a list that holds a model. The text says why."""


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


def first_model(base_url: str, api_key: str | None, *, timeout: float) -> str:
    """The id of the first model that `GET <base_url>/models` lists.

    Args:
        base_url: the address that ends in /v1.
        api_key: sent as a bearer token when given.
        timeout: in seconds.

    Raises:
        ListingFailed: no answer in time, an error, something else than such a list, or an empty one.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = httpx2.get(f"{base_url.rstrip('/')}/models", headers=headers, timeout=timeout, trust_env=False)
        response.raise_for_status()
        listed = _Models.model_validate_json(response.content)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ListingFailed(str(error) or type(error).__name__) from error
    except ValidationError as error:
        raise ListingFailed("the answer is not a list of models") from error
    if not listed.data:
        raise ListingFailed("the list is empty")
    return listed.data[0].id
