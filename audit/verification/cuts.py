"""Where a trail is cut, so that its sections can be verified side by side.

A cut is after a checkpoint: what came under seal with it, or before, comes first in the order of
sealing. The database says where that is, and need not be right: sections that do not fit together
prove nothing (Whole).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psycopg

from audit.verification.chain import EVER
from audit.verification.order import Cut
from audit.verification.pruned import Pruned
from audit.verification.restores import restarts
from audit.verification.sections import Section

EVENTS = 50_000  # under seal, in a section
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
# Another connection sees the same, and between two cuts is everything.
_MAY_BE_CUT = """
    select current_setting('transaction_isolation') = 'repeatable read'
       and pg_current_xact_id_if_assigned() is null
       and not exists (select from audit_event where xid is null)"""


def sections(connection: psycopg.Connection[Any], gone: Pruned) -> list[Section]:
    """Empty where it cannot be cut."""
    if connection.execute(_MAY_BE_CUT).fetchone() != (True,):
        return []
    cuts = list(_cuts(connection, gone))
    if any(later <= earlier for (_, earlier), (_, later) in pairwise(cuts)):
        return []
    ends = [*((n, cut) for n, cut in cuts), (EVER, None)]
    begins = [(-1, None), *cuts]
    return [
        Section(before + 1, last, after, upto)
        for (before, after), (last, upto) in zip(begins, ends, strict=True)
    ]


def _cuts(connection: psycopg.Connection[Any], gone: Pruned) -> Iterator[tuple[int, Cut]]:
    counted_anew = restarts(connection)
    asked = {"since": gone.kept_since, "events": EVENTS}
    checkpoints = connection.execute(_CHECKPOINTS, asked).fetchall()
    for (n,) in checkpoints[:-1]:
        last = {"restarts": counted_anew, "checkpoint": n}
        if found := connection.execute(_LAST, last).fetchone():
            yield n, Cut(*found)
