"""Whether a server gets on with its work, read from its metrics (Prometheus' text format).

A worker asks it of its engine, the supervisor of a server that it has started: Django stays out.
"""

import re
from typing import NamedTuple

STALL_S = 120.0  # without progress, before a server is given up; a slow one reads long prompts
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE | re.ASCII)


class Progress(NamedTuple):
    """`done` is another number whenever the server has computed something."""

    busy: bool
    done: float


class _Names(NamedTuple):
    """`figures`: the first one changes with each step. Without it the others tell nothing."""

    running: str
    figures: tuple[str, ...]


_NAMES = {
    "llama_cpp": _Names(
        "llamacpp:requests_processing",
        (
            "llamacpp:n_decode_total",  # each step, also those that read a long prompt
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
            "vllm:kv_cache_usage_perc",  # grows with each piece of a long prompt
        ),
    ),
    "sglang": _Names(
        "sglang:num_running_reqs",
        (
            "sglang:realtime_tokens_total",  # newer releases: also while a prompt is read
            "sglang:prompt_tokens_total",
            "sglang:generation_tokens_total",
            "sglang:token_usage",
        ),
    ),
}


def read(kind: str, text: str) -> Progress | None:
    """Returns None for metrics that do not say it."""
    names = _NAMES[kind]
    samples = _SAMPLE.findall(text)
    if not {names.running, names.figures[0]} <= {name for name, _ in samples}:
        return None
    running = [_number(value) for name, value in samples if name == names.running]
    done = [_number(value) for name, value in samples if name in names.figures]
    return Progress(sum(running) > 0, sum(done))


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0
