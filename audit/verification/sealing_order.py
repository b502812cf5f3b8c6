"""Sealing order, and positions that divide it."""

from collections.abc import Iterator
from typing import NamedTuple


class Cut(NamedTuple):
    """A position after an event. `restarts` counts the restarts of the transaction counter before
    it.
    """

    restarts: int
    xid: int
    event_id: int


def conditions(
    restarts: list[int], after: Cut | None = None, upto: Cut | None = None
) -> Iterator[str]:
    """Yields SQL conditions for the events between two cuts, one per run of the transaction
    counter.
    """
    begins = ["true", *(f"id > {restart}" for restart in restarts)]
    ends = [*(f"id <= {restart}" for restart in restarts), "true"]
    for count, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if (after and count < after.restarts) or (upto and count > upto.restarts):
            continue
        parts = [begin, end]
        if after and count == after.restarts:
            parts.append(f"(xid, id) > ({after.xid}, {after.event_id})")
        if upto and count == upto.restarts:
            parts.append(f"(xid, id) <= ({upto.xid}, {upto.event_id})")
        yield " and ".join(parts)
