"""The work that a request takes, in units that fit every class of work."""

import msgspec

GPU_MS_OF_A_TOKEN = 16  # a stream takes one of 16 slots, and writes about 64 tokens a second


def total_units(prompt_tokens: int, completion_tokens: int, gpu_ms: int = 0) -> int:
    """Returns the fair queue's work units: an output token is two (VTC, arXiv 2401.00588).

    GPU time counts as the tokens that an answer would get in it.
    """
    return prompt_tokens + 2 * completion_tokens + 2 * gpu_ms // GPU_MS_OF_A_TOKEN


class WorkUnits(msgspec.Struct, frozen=True):
    """The parts of the work units of a request. `gpu_ms` is milliseconds times GPUs."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    gpu_ms: int = 0

    def __add__(self, other: "WorkUnits") -> "WorkUnits":
        return WorkUnits(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.gpu_ms + other.gpu_ms,
        )

    @property
    def total(self) -> int:
        return total_units(self.prompt_tokens, self.completion_tokens, self.gpu_ms)
