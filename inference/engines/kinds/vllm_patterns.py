"""Patterns that vLLM's grammar cannot compile: those which count further than MOST.

xgrammar 0.2 fails on `^[a-z]{1,129}$` and vLLM answers 500 without a reason, as for a fault of its
own. Other versions may take it, so such a pattern is sent.
"""

import re
from typing import Any

import orjson

from inference.engines.prompt_bound import inside

MOST = 128
TOO_FAR = (
    f"the engine failed on this schema: one of its patterns counts above {MOST} (`{{1,500}}`); "
    "count less there, or use `maxLength`"
)
_COUNTS = re.compile(r"\{(\d*),?(\d*)\}")


def counts_too_far(body: bytes) -> bool:
    """Returns whether a pattern in the body counts above MOST."""
    if b'"pattern' not in body:  # "patternProperties" as well
        return False
    level = [orjson.loads(body)]
    while level:
        patterns = [pattern for node in level if isinstance(node, dict) for pattern in _of(node)]
        if any(map(_counts_too_far, patterns)):
            return True
        level = [inner for outer in level for inner in inside(outer)]
    return False


def _of(node: dict[str, Any]) -> list[str]:
    by_pattern = node.get("patternProperties")
    patterns = list(by_pattern) if isinstance(by_pattern, dict) else []
    own = node.get("pattern")
    return [*patterns, own] if isinstance(own, str) else patterns


def _counts_too_far(pattern: str) -> bool:
    return any(int(n) > MOST for pair in _COUNTS.findall(pattern) for n in pair if n)
