"""The order of sealing, and where it is cut."""

from collections.abc import Iterator
from typing import NamedTuple


class Cut(NamedTuple):
    """After an event: `restarts` tells how often transactions had been counted anew by then."""

    restarts: int
    xid: int
    event_id: int


def conditions(
    restarts: list[int], after: Cut | None = None, upto: Cut | None = None
) -> Iterator[str]:
    """In SQL, of the events between two cuts; each count of transactions is an order of its own."""
    begins = ["true", *(f"id > {restart}" for restart in restarts)]
    ends = [*(f"id <= {restart}" for restart in restarts), "true"]
    for count, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if (after and count < after.restarts) or (upto and count > upto.restarts):
            continue
        wanted = [begin, end]
        if after and count == after.restarts:
            wanted.append(f"(xid, id) > ({after.xid}, {after.event_id})")
        if upto and count == upto.restarts:
            wanted.append(f"(xid, id) <= ({upto.xid}, {upto.event_id})")
        yield " and ".join(wanted)
