"""What an engine says of its prompt cache, where tenants share that cache.

How much of a prompt was cached tells whether somebody else has sent its beginning. So nobody is
told, in figures or in prices: of an answer's usage only what is known to be of the request alone
goes through.
"""

import re
from typing import Any

_TOLD = {"prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details"}
_MAY_TELL = re.compile(rb'"(?:usage|timings)":\s*\{')


def may_tell(event: bytes) -> bool:
    """Whether it is worth to parse a piece of a stream: most carry text alone."""
    named = b'"usage"' in event or b'"timings"' in event
    return named and _MAY_TELL.search(event) is not None


def take_out(answer: dict[str, Any]) -> bool:
    """From an answer or the chunk of one; whether there was anything."""
    told = answer.pop("timings", None) is not None  # llama.cpp's: cache_n, prompt_n, prompt_ms
    choices = answer.get("choices")
    for holder in (answer, *(choices if isinstance(choices, list) else ())):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            for name in usage.keys() - _TOLD:
                del usage[name]
                told = True
    return told
