"""Decides which engines of a pool are lent to jobs, and which are taken back.

An engine that rests and that the pool does not need, not even as its spare, has a GPU to lend
(inference/energy/consolidation.py says which engines those are). It is taken back as soon as the
present load needs it, and lent only if the highest load of the last minutes did not: so a pool
that swings does not lend and take back by turns. Outside of the pool's hours nothing is lent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Lender:
    """An engine of the pool. `is_free`: it rests, and nothing runs on it or waits for it."""

    name: str
    is_free: bool = False
    is_lent: bool = False


class Decision(NamedTuple):
    lend: tuple[str, ...] = ()
    take_back: tuple[str, ...] = ()


def decide(
    lenders: Sequence[Lender],
    needed: int,
    needed_at_peak: int | None,
    jobs: int,
    *,
    is_open: bool = True,
) -> Decision:
    """Returns what to lend to `jobs` that wait for a GPU, and what to take back.

    The first `needed` engines serve the present load, and `needed_at_peak` its highest of the last
    minutes (None: not known yet). The last engine is lent first, and taken back last. `is_open`:
    the pool may lend at this hour; else all are taken back.
    """
    if not is_open:
        return Decision(take_back=tuple(each.name for each in lenders if each.is_lent))
    take_back = tuple(each.name for each in lenders[:needed] if each.is_lent)
    if needed_at_peak is None:
        return Decision(take_back=take_back)
    others = lenders[max(needed, needed_at_peak) :]
    free = [each.name for each in reversed(others) if each.is_free]
    return Decision(tuple(free[: max(0, jobs)]), take_back)
