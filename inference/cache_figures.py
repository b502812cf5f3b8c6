"""What an engine says of its prompt cache, where tenants share that cache.

How much of a prompt was cached tells whether somebody else has sent its beginning. So nobody is
told, in figures or in prices.
"""

from typing import Any

_USAGE = ("prompt_tokens_details", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens")
_ANSWER = ("timings",)  # llama.cpp's: cache_n, prompt_n, prompt_ms


def take_out(answer: dict[str, Any]) -> bool:
    """From an answer or the chunk of one; whether there was anything."""
    usage = answer.get("usage")
    told = [name for name in _ANSWER if answer.pop(name, None) is not None]
    if isinstance(usage, dict):
        told += [name for name in _USAGE if usage.pop(name, None) is not None]
    return bool(told)
