"""Reads an engine's load from its metrics (Prometheus' text format)."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from inference.engines import kv_blocks

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE | re.ASCII)
# SGLang's samples of a part of another sample: of one class, or of another GPU.
_PART = re.compile(r'\bpriority="[^"]|\b(?:tp|pp)_rank="[1-9]')


@dataclass(frozen=True, slots=True)
class Load:
    """Running and waiting requests; the others from 0 to 1, None if the engine reports none.

    `fragmentation` is that of its KV cache (inference/engines/kv_blocks.py), `gpu_memory` the
    share of a GPU's memory that the engine reserves at its start.
    """

    running: int
    waiting: int
    kv_cache: float | None = None
    fragmentation: float | None = None
    gpu_memory: float | None = None

    @property
    def kv_percent(self) -> int | None:
        return None if self.kv_cache is None else round(self.kv_cache * 100)


class Names(NamedTuple):
    """The names of three metrics of an engine kind."""

    running: str
    waiting: str
    kv_cache: str


VLLM = Names("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
SGLANG = Names("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage")
LLAMA_CPP = Names(
    "llamacpp:requests_processing", "llamacpp:requests_deferred", "llamacpp:kv_cache_usage_ratio"
)


def read(text: str, names: Names) -> Load | None:
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
        kv_blocks.fragmentation(samples, names.kv_cache, running),
        kv_blocks.gpu_memory(samples),
    )
