"""The start of a process that takes requests: what keeps it from starting, and how it settles."""

import gc

from audit.erasure.tombstones import erasure_problem_at_start
from audit.keys import key_check
from tenants.isolation import check


def startup_problem() -> str:
    return check.startup_problem() or key_check.startup_problem() or erasure_problem_at_start()


def settle_down() -> None:
    """What is loaded stays: no full garbage collection has to walk over it while requests wait."""
    gc.collect()
    gc.freeze()
