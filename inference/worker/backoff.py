"""The pause before a retry at an engine: exponential, with full jitter.

Many requests that met the same failure come back spread out, not together (Marc Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

import random

FIRST_S, LONGEST_S = 0.2, 4.0


def pause(retry: int, at_least: float = 0.0) -> float:
    """Returns seconds before the `retry`th retry, from 0, added to the engine's `at_least`."""
    most = min(LONGEST_S, FIRST_S * 2**retry)
    return at_least + random.uniform(0, most)  # noqa: S311 (no secret)
