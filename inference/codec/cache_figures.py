"""Removes figures of a prompt cache that tenants share.

How much of a prompt was cached reveals whether another tenant has sent its beginning. So neither
figures nor prices show it: of an answer's usage only fields of the request alone pass.
"""

import re
from typing import Any

_SHOWN = {"prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details"}
_HAS_FIGURES = re.compile(rb'"(?:usage|timings)":\s*\{')


def may_have_figures(event: bytes) -> bool:
    """Returns whether a piece of a stream is worth parsing: most have only text."""
    mentions = b'"usage"' in event or b'"timings"' in event
    return mentions and _HAS_FIGURES.search(event) is not None


def take_out(answer: dict[str, Any]) -> bool:
    """Remove them from an answer or a chunk. Returns whether there were any."""
    removed = answer.pop("timings", None) is not None  # llama.cpp's: cache_n, prompt_n, prompt_ms
    choices = answer.get("choices")
    for holder in (answer, *(choices if isinstance(choices, list) else ())):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            for name in usage.keys() - _SHOWN:
                del usage[name]
                removed = True
    return removed
