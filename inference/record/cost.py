"""The cost of a completion, in units that fit every kind of work."""

import msgspec

GPU_MS_OF_A_TOKEN = 16  # a stream takes one of 16 slots, and writes about 64 tokens a second


def fair_cost(prompt_tokens: int, completion_tokens: int, gpu_ms: int = 0) -> int:
    """Returns the fair queue's cost: an output token weighs two (VTC, arXiv 2401.00588).

    GPU time weighs as much as the tokens that an answer would have got in it.
    """
    return prompt_tokens + 2 * completion_tokens + 2 * gpu_ms // GPU_MS_OF_A_TOKEN


class Cost(msgspec.Struct, frozen=True):
    """`gpu_ms`: milliseconds times GPUs."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    gpu_ms: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.gpu_ms + other.gpu_ms,
        )

    @property
    def fair(self) -> int:
        return fair_cost(self.prompt_tokens, self.completion_tokens, self.gpu_ms)
