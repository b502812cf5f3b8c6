"""Prices of tokens, in micro-units of the currency; the reservation and the cost of a request."""

from uuid import UUID

import msgspec


class Prices(msgspec.Struct, frozen=True, array_like=True):
    prompt: float = 0.0
    cached: float = 0.0
    completion: float = 0.0

    def times(self, factor: float) -> "Prices":
        if factor == 1:
            return self
        return Prices(self.prompt * factor, self.cached * factor, self.completion * factor)

    def cost(self, prompt: int, cached: int, completion: int) -> int:
        """Returns micro-units. `cached` tokens are part of the prompt's."""
        fresh = max(0, prompt - cached) * self.prompt
        return round(fresh + cached * self.cached + completion * self.completion)

    def most(self, prompt: int, completion: int) -> int:
        """Returns the highest cost: the prompt may be all fresh, or all cached."""
        cached = prompt if self.cached > self.prompt else 0
        return self.cost(prompt, cached, completion)


FREE = Prices()


class Charge(msgspec.Struct, frozen=True, array_like=True):
    """A reservation, which travels with the order.

    Its prices hold in the pool that it was routed to, and in all that are not in `elsewhere`.
    """

    api_key_id: UUID | None = None
    member_id: UUID | None = None
    team_id: UUID | None = None
    prompt_tokens: int = 0  # reserved: an upper bound of the prompt
    completion_tokens: int = 0  # reserved: the most that may be generated
    prompt_price: float = 0.0
    cached_price: float = 0.0
    completion_price: float = 0.0
    elsewhere: dict[str, Prices] = {}  # prices in reachable pools that differ
    most_elsewhere: int = 0  # reserved: the cost in the dearest of these
    gpu_ms: int = 0  # reserved: the most milliseconds times GPUs that it may take
    gpu_price: float = 0.0  # of a GPU-second, in every pool

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def most(self) -> int:
        """The reserved cost: that of the dearest pool that it may reach."""
        routed = self._prices.most(self.prompt_tokens, self.completion_tokens)
        return max(routed, self.most_elsewhere) + self.gpu_cost(self.gpu_ms)

    def cost(self, prompt: int, cached: int, completion: int, pool: str = "") -> int:
        """Returns micro-units of a request that `pool` served. `cached`: a part of the prompt."""
        prices = self.elsewhere.get(pool) or self._prices
        return prices.cost(prompt, cached, completion)

    @property
    def gpu_seconds(self) -> int:
        """The reserved GPU time in the unit of quotas, rounded up."""
        return -(-self.gpu_ms // 1000)

    def gpu_cost(self, gpu_ms: int) -> int:
        """Returns micro-units."""
        return round(gpu_ms * self.gpu_price / 1000)

    @property
    def _prices(self) -> Prices:
        return Prices(self.prompt_price, self.cached_price, self.completion_price)


class KeptCharge(Charge, frozen=True, array_like=True):
    """The charge of a cached answer: each token costs what a cached one does.

    A token of the answer costs no more than a generated one, which is the amount reserved.
    """

    def cost(self, prompt: int, cached: int, completion: int, pool: str = "") -> int:
        prices = self.elsewhere.get(pool) or self._prices
        answer = completion * min(prices.cached, prices.completion)
        return round(prompt * prices.cached + answer)
