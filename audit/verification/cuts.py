"""Divides a trail into sections that can be verified in parallel.

A cut is after a checkpoint: the events of it and of all before come first in sealing order. The
database gives the positions, and need not be right: sections that do not fit together prove nothing
(Joined).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psycopg

from audit.verification.chain import EVER
from audit.verification.pruned import Pruned
from audit.verification.restores import restarts
from audit.verification.sealing_order import Cut
from audit.verification.sections import Section

EVENTS = 50_000  # sealed events in a section
_CHECKPOINTS = """
    select max(n) from audit_checkpoint,
        (select greatest(max(size), 0) as gone from audit_checkpoint where at < %(since)s) before
    where size > gone group by (size - gone) / %(events)s order by 1"""
# The last event of each of its batches, and of these the last one.
_LAST = """
    select (select count(*) from unnest(%(restarts)s::bigint[]) restart where restart < id), xid, id
    from audit_event where id = any(array(
        select event_ids[cardinality(event_ids)] from audit_seal where checkpoint = %(checkpoint)s))
    order by 1 desc, 2 desc, 3 desc limit 1"""
# Another connection can see the same snapshot, and every event lies between two cuts.
_MAY_BE_CUT = """
    select current_setting('transaction_isolation') = 'repeatable read'
       and pg_current_xact_id_if_assigned() is null
       and not exists (select from audit_event where xid is null)"""


def sections(connection: psycopg.Connection[Any], pruned_months: Pruned) -> list[Section]:
    """Returns the sections; none if the trail cannot be cut."""
    if connection.execute(_MAY_BE_CUT).fetchone() != (True,):
        return []
    cuts = list(_cuts(connection, pruned_months))
    if any(later <= earlier for (_, earlier), (_, later) in pairwise(cuts)):
        return []
    ends = [*((n, cut) for n, cut in cuts), (EVER, None)]
    begins = [(-1, None), *cuts]
    return [
        Section(before + 1, last, after, upto)
        for (before, after), (last, upto) in zip(begins, ends, strict=True)
    ]


def _cuts(connection: psycopg.Connection[Any], pruned_months: Pruned) -> Iterator[tuple[int, Cut]]:
    restarts_ = restarts(connection)
    values = {"since": pruned_months.complete_since, "events": EVENTS}
    checkpoints = connection.execute(_CHECKPOINTS, values).fetchall()
    for (n,) in checkpoints[:-1]:
        last = {"restarts": restarts_, "checkpoint": n}
        if row := connection.execute(_LAST, last).fetchone():
            yield n, Cut(*row)
