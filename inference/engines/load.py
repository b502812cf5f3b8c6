"""How busy an engine says it is, read from its metrics (Prometheus' text format)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import aiohttp

from inference.engines import kv_blocks, reading

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE | re.ASCII)
# SGLang's figures of one part of what another sample has whole: of a class, or of another GPU.
_PART = re.compile(r'\bpriority="[^"]|\b(?:tp|pp)_rank="[1-9]')
_TIMEOUT = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that run and wait; the others from 0 to 1, None where the engine does not say.

    `fragmentation`: of its KV cache (inference/engines/kv_blocks.py); `gpu_memory`: the share of a
    GPU's memory that it has taken for good as it started.
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
    """Of the three figures in a kind's metrics."""

    running: str
    waiting: str
    kv_cache: str


VLLM = Names("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
SGLANG = Names("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage")
LLAMA_CPP = Names(
    "llamacpp:requests_processing", "llamacpp:requests_deferred", "llamacpp:kv_cache_usage_ratio"
)


async def ask(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str], names: Names
) -> Load | None:
    """None where it does not say. Raises ClientError, OSError, TimeoutError, and ValueError or
    OverflowError for what are no figures.
    """
    async with http.get(url, headers=headers, timeout=_TIMEOUT, allow_redirects=False) as response:
        if response.status != 200:
            return None
        return read((await reading.whole(response)).decode(errors="replace"), names)


def read(text: str, names: Names) -> Load | None:
    """Of all its engine cores together, the fullest cache; None for metrics of another server."""
    found: dict[str, list[float]] = {}
    samples = _SAMPLE.findall(text)
    for name, labels, value in samples:
        if name in names and not _PART.search(labels):
            found.setdefault(name, []).append(float(value))
    if names.running not in found:
        return None
    running = round(sum(found[names.running]))
    return Load(
        running,
        round(sum(found.get(names.waiting, ()))),
        max(found.get(names.kv_cache, ()), default=None),
        kv_blocks.fragmentation(samples, names.kv_cache, running),
        kv_blocks.gpu_memory(samples),
    )
