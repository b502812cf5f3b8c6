"""Reads from a server's metrics (Prometheus' text format) whether it makes progress.

Workers use it for their engines, the supervisor for servers that it has started, so Django is not
imported.
"""

import re
from typing import NamedTuple

STALL_S = 120.0  # without progress; a slow server may prefill long prompts
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE | re.ASCII)


class EngineProgress(NamedTuple):
    """The progress of a server. `done` changes whenever it has computed something."""

    busy: bool
    done: float


class _Names(NamedTuple):
    """Names of metrics. The first of `figures` changes with each step, and is required."""

    running: str
    figures: tuple[str, ...]


_NAMES = {
    "llama_cpp": _Names(
        "llamacpp:requests_processing",
        (
            "llamacpp:n_decode_total",  # each step, also of prefill
            "llamacpp:prompt_tokens_total",
            "llamacpp:tokens_predicted_total",
        ),
    ),
    "vllm": _Names(
        "vllm:num_requests_running",
        (
            "vllm:iteration_tokens_total_count",  # each step
            "vllm:iteration_tokens_total_sum",
            "vllm:prompt_tokens_total",
            "vllm:generation_tokens_total",
            "vllm:kv_cache_usage_perc",  # grows during a long prefill
        ),
    ),
    "sglang": _Names(
        "sglang:num_running_reqs",
        (
            "sglang:realtime_tokens_total",  # newer releases: also during prefill
            "sglang:prompt_tokens_total",
            "sglang:generation_tokens_total",
            "sglang:token_usage",
        ),
    ),
}


def read(kind: str, text: str) -> EngineProgress | None:
    """Returns None for metrics without the needed figures."""
    names = _NAMES[kind]
    samples = _SAMPLE.findall(text)
    if not {names.running, names.figures[0]} <= {name for name, _ in samples}:
        return None
    running = [_number(value) for name, value in samples if name == names.running]
    computed = [_number(value) for name, value in samples if name in names.figures]
    return EngineProgress(sum(running) > 0, sum(computed))


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0
