"""How much of an engine's KV cache is lost to its blocks, from what vLLM says of itself.

Fragmentation is 1 - tokens / (blocks in use * tokens of a block). No engine tells the tokens. But a
block belongs to one sequence, whole ones are full, and the last one of each sequence is half empty
in the mean: so what is lost is half a block for each request that runs, and never twice that.
"""

import re
from collections.abc import Iterable

_INFO = "vllm:cache_config_info"
_CORE = re.compile(r'\bengine="([^"]*)"')
_BLOCKS = re.compile(r'\bnum_gpu_blocks="(\d+)"', re.ASCII)
_BLOCK = re.compile(r'\bblock_size="(\d+)"', re.ASCII)
_MEMORY = re.compile(r'\bgpu_memory_utilization="([\d.]+)"', re.ASCII)
Sample = tuple[str, str, str]  # name, labels, value


def fragmentation(samples: Iterable[Sample], usage: str, running: int) -> float | None:
    """`usage`: the figure of how full each core's cache is. From 0 to 1, None where it is not said.

    Raises ValueError for what is no figure.
    """
    samples = list(samples)
    info = {_core(labels): labels for name, labels, _ in samples if name == _INFO}
    used = {_core(labels): float(value) for name, labels, value in samples if name == usage}
    sizes = [_number(_BLOCK, labels) for labels in info.values()]
    totals = {core: _number(_BLOCKS, labels) for core, labels in info.items()}
    if not used or not all(sizes) or not all(totals.get(core) for core in used):
        return None
    blocks = sum(share * (totals[core] - 1) for core, share in used.items())  # one is never given
    lost = running * (max(sizes) - 1) / 2
    return min(1.0, lost / (blocks * max(sizes))) if running and blocks > 0 else 0.0


def gpu_memory(samples: Iterable[Sample]) -> float | None:
    """The share of each of its GPUs that vLLM takes as it starts, however few requests it has."""
    told = (_MEMORY.search(labels) for name, labels, _ in samples if name == _INFO)
    return max((float(each[1]) for each in told if each), default=None)


def _core(labels: str) -> str:
    found = _CORE.search(labels)
    return found[1] if found else ""


def _number(pattern: re.Pattern[str], labels: str) -> int:
    found = pattern.search(labels)
    return int(found[1]) if found else 0
