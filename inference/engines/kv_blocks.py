"""Estimates the fragmentation of an engine's KV cache from vLLM's metrics.

Fragmentation is 1 - tokens / (blocks in use * tokens of a block). No engine reports the tokens. But
a block belongs to one sequence, all but its last are full, and the last is half empty in the mean:
so the loss is half a block for each running request, and never twice that.
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
    """Returns a share from 0 to 1; None without the figures. Raises ValueError for bad ones.

    `usage` names the metric of how full each core's cache is.
    """
    samples = list(samples)
    info = {_core(labels): labels for name, labels, _ in samples if name == _INFO}
    used = {_core(labels): float(value) for name, labels, value in samples if name == usage}
    sizes = [_number(_BLOCK, labels) for labels in info.values()]
    totals = {core: _number(_BLOCKS, labels) for core, labels in info.items()}
    if not used or not all(sizes) or not all(totals.get(core) for core in used):
        return None
    blocks = sum(
        share * (totals[core] - 1) for core, share in used.items()
    )  # one block is reserved
    lost = running * (max(sizes) - 1) / 2
    return min(1.0, lost / (blocks * max(sizes))) if running and blocks > 0 else 0.0


def gpu_memory(samples: Iterable[Sample]) -> float | None:
    """Returns the share of each GPU's memory that vLLM reserves at its start."""
    matches = (_MEMORY.search(labels) for name, labels, _ in samples if name == _INFO)
    return max((float(each[1]) for each in matches if each), default=None)


def _core(labels: str) -> str:
    match = _CORE.search(labels)
    return match[1] if match else ""


def _number(pattern: re.Pattern[str], labels: str) -> int:
    match = pattern.search(labels)
    return int(match[1]) if match else 0
