"""Reads an engine's load from its metrics (Prometheus' text format).

The fragmentation of its KV cache is 1 - tokens / (blocks in use * tokens of a block). No engine
reports the tokens. But a block belongs to one sequence, all but its last are full, and the last is
half empty in the mean: so the loss is half a block for each running request, and never twice that.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

_INFO = "vllm:cache_config_info"
_CORE = re.compile(r'\bengine="([^"]*)"')
_BLOCKS = re.compile(r'\bnum_gpu_blocks="(\d+)"', re.ASCII)
_BLOCK = re.compile(r'\bblock_size="(\d+)"', re.ASCII)
_MEMORY = re.compile(r'\bgpu_memory_utilization="([\d.]+)"', re.ASCII)
Sample = tuple[str, str, str]  # name, labels, value


def _fragmentation(samples: list[Sample], usage: str, running: int) -> float | None:
    """Returns None without the figures. `usage` names the metric of how full each cache is."""
    info = {_core(labels): labels for name, labels, _ in samples if name == _INFO}
    used = {_core(labels): float(value) for name, labels, value in samples if name == usage}
    sizes = [_number(_BLOCK, labels) for labels in info.values()]
    totals = {core: _number(_BLOCKS, labels) for core, labels in info.items()}
    if not used or not all(sizes) or not all(totals.get(core) for core in used):
        return None
    # One block is reserved.
    blocks = sum(share * (totals[core] - 1) for core, share in used.items())
    lost = running * (max(sizes) - 1) / 2
    return min(1.0, lost / (blocks * max(sizes))) if running and blocks > 0 else 0.0


def _gpu_memory(samples: list[Sample]) -> float | None:
    matches = (_MEMORY.search(labels) for name, labels, _ in samples if name == _INFO)
    return max((float(each[1]) for each in matches if each), default=None)


def _core(labels: str) -> str:
    match = _CORE.search(labels)
    return match[1] if match else ""


def _number(pattern: re.Pattern[str], labels: str) -> int:
    match = pattern.search(labels)
    return int(match[1]) if match else 0


_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE | re.ASCII)
# SGLang's samples of a part of another sample: of one class, or of another GPU.
_PART = re.compile(r'\bpriority="[^"]|\b(?:tp|pp)_rank="[1-9]')


@dataclass(frozen=True, slots=True)
class Load:
    """Running and waiting requests; the others from 0 to 1, None if the engine reports none.

    `fragmentation` is that of its KV cache, `gpu_memory` the share of a GPU's memory that the
    engine reserves at its start.
    """

    running: int
    waiting: int
    kv_cache: float | None = None
    fragmentation: float | None = None
    gpu_memory: float | None = None

    @property
    def kv_percent(self) -> int | None:
        return None if self.kv_cache is None else round(self.kv_cache * 100)


class LoadMetrics(NamedTuple):
    """The names of three metrics of an engine kind."""

    running: str
    waiting: str
    kv_cache: str


VLLM = LoadMetrics(
    "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"
)
SGLANG = LoadMetrics("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage")
LLAMA_CPP = LoadMetrics(
    "llamacpp:requests_processing", "llamacpp:requests_deferred", "llamacpp:kv_cache_usage_ratio"
)


def read(text: str, names: LoadMetrics) -> Load | None:
    """Returns the load of all its engine cores together, with the fullest cache.

    None for metrics of another server.
    """
    figures: dict[str, list[float]] = {}
    samples = _SAMPLE.findall(text)
    for name, labels, value in samples:
        if name in names and not _PART.search(labels):
            figures.setdefault(name, []).append(float(value))
    if names.running not in figures:
        return None
    running = round(sum(figures[names.running]))
    return Load(
        running,
        round(sum(figures.get(names.waiting, ()))),
        max(figures.get(names.kv_cache, ()), default=None),
        _fragmentation(samples, names.kv_cache, running),
        _gpu_memory(samples),
    )
