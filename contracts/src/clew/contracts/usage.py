"""What runs take, and how much they may take."""

from pydantic import Field

from clew.contracts.envelope import Value


class Usage(Value):
    """What model requests took: their number, tokens in and out, and the price in US dollars where it is known."""

    requests: int = Field(default=0, ge=0)
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cost_usd: float | None = Field(default=None, ge=0)

    def __add__(self, other: "Usage") -> "Usage":
        costs = [u.cost_usd for u in (self, other) if u.cost_usd is not None]
        return Usage(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=sum(costs) if costs else None,
        )


class Budget(Value):
    """How much a run may take, its children included; None is no limit. Enforced before each call.

    `depth` is how many levels of child runs may hang below it.
    """

    model_requests: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    cost_usd: float | None = Field(default=None, ge=0)
    wall_seconds: float | None = Field(default=None, ge=0)
    depth: int | None = Field(default=None, ge=0)
