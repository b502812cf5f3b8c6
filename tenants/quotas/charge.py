"""The reservation of a request at its arrival, and its cost at its end."""

from uuid import UUID

import msgspec

from tenants.quotas.prices import Prices


class Charge(msgspec.Struct, frozen=True, array_like=True):
    """A reservation, which travels with the order. Prices are micro-units of the currency per
    token.

    They are those of the pool that it was routed to, and of all pools that are not in `elsewhere`.
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

    def gpu_cost(self, gpu_ms: int) -> int:
        """Returns micro-units."""
        return round(gpu_ms * self.gpu_price / 1000)

    @property
    def _prices(self) -> Prices:
        return Prices(self.prompt_price, self.cached_price, self.completion_price)


class KeptCharge(Charge, frozen=True, array_like=True):
    """The charge of a cached answer: nothing is generated, and each token costs what a cached one
    does.

    A token of the answer costs no more than a generated one, which is the amount reserved.
    """

    def cost(self, prompt: int, cached: int, completion: int, pool: str = "") -> int:
        prices = self.elsewhere.get(pool) or self._prices
        answer = completion * min(prices.cached, prices.completion)
        return round(prompt * prices.cached + answer)
