"""How busy an engine says it is, read from its metrics (Prometheus' text format)."""

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that run and wait; `kv_cache` from 0 to 1, None where the engine does not say."""

    running: int
    waiting: int
    kv_cache: float | None = None

    @property
    def kv_percent(self) -> int | None:
        return None if self.kv_cache is None else round(self.kv_cache * 100)


def read_vllm(text: str) -> Load | None:
    """Of all its engine cores together, the fullest cache; None for what are no figures of vLLM."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        if name.startswith("vllm:"):
            found.setdefault(name, []).append(float(value))
    if "vllm:num_requests_running" not in found:
        return None
    return Load(
        round(sum(found["vllm:num_requests_running"])),
        round(sum(found.get("vllm:num_requests_waiting", ()))),
        max(found.get("vllm:kv_cache_usage_perc", ()), default=None),
    )
