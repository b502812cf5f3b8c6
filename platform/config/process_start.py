"""The start of a process that takes requests: what keeps it from starting, and how it settles."""

import gc

from audit.erasure.tombstones import erasure_problem_at_start
from audit.keys import key_check
from tenants.isolation import check

YOUNG = 20_000  # objects between two collections of the youngest


def startup_problem() -> str:
    return check.startup_problem() or key_check.startup_problem() or erasure_problem_at_start()


def settle_down() -> None:
    """What is loaded stays: no full garbage collection has to walk over it while requests wait.

    Python's own threshold of 700 objects is for programs that allocate little: a request makes
    hundreds, nearly all of which are gone by their count of references when it ends.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
