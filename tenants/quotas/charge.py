"""What a request sets aside when it comes in, and who pays when it is over."""

from uuid import UUID

import msgspec


class Charge(msgspec.Struct, frozen=True, array_like=True):
    """Travels with the order. Prices are micro-units of the currency per token."""

    api_key_id: UUID | None = None
    member_id: UUID | None = None
    team_id: UUID | None = None
    prompt_tokens: int = 0  # set aside: more than these it cannot be
    completion_tokens: int = 0  # set aside: the most that may be generated
    prompt_price: float = 0.0
    cached_price: float = 0.0
    completion_price: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def most(self) -> int:
        """The cost that is set aside: the prompt may be all fresh, or all cached."""
        cached = self.prompt_tokens if self.cached_price > self.prompt_price else 0
        return Charge.cost(self, self.prompt_tokens, cached, self.completion_tokens)

    def cost(self, prompt: int, cached: int, completion: int) -> int:
        """In micro-units. `cached` tokens are part of the prompt's."""
        fresh = max(0, prompt - cached) * self.prompt_price
        return round(fresh + cached * self.cached_price + completion * self.completion_price)


class KeptCharge(Charge, frozen=True, array_like=True):
    """Of a kept answer: nothing is generated, and each token costs what a cached one does."""

    def cost(self, prompt: int, cached: int, completion: int) -> int:
        return round((prompt + completion) * self.cached_price)
