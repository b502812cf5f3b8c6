"""The prices of tokens, in micro-units of the currency per token."""

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
