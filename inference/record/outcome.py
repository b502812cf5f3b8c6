"""The outcome of a request, as its settlement records it."""

import msgspec

from inference.record.work_units import total_units


class Outcome(msgspec.Struct, kw_only=True):
    """The end of a completion. Tokens are the engine's count, or Forebay's if it was cut off."""

    state: str = "done"  # inference.models.State
    status: int = 200
    finish_reason: str = "stop"
    error_code: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    gpu_ms: int = 0
    millijoules: int | None = None  # that its GPUs took; None: not measured
    attempts: int = 1
    preemptions: int = 0  # how often it was preempted
    queue_ms: int | None = None
    ttft_ms: int | None = None
    upstream: str = ""  # the engine or service that served it
    engine: str = ""  # its name, unless that is its pool's
    text: str = ""  # as the reader got it
    reasoning: str = ""  # before the text
    response: bytes = b""  # as the audit trail stores it
    cache: str = ""  # as in inference.models.Usage

    @property
    def work_units(self) -> int:
        """Returns the work units that the fair queue charges."""
        return total_units(self.prompt_tokens, self.completion_tokens, self.gpu_ms)
