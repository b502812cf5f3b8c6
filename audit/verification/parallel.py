"""Verifies sections of the trail in several processes, so that no core is idle.

A section ends after a checkpoint: the events of it and of all before come first in sealing order.
The database gives the positions, and need not be right: sections that do not fit together prove
nothing (Joined).

Their results count only if none has a finding. Otherwise everything is verified in one pass, which
finds the faults and reports them in one order.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from queue import SimpleQueue

from audit.verification.chain import EVER, Terms
from audit.verification.pruned import Pruned
from audit.verification.report import SectionResult
from audit.verification.rows import Cut, Trail, restarts
from audit.verification.section_process import Helper, task
from audit.verification.sections import Joined, Section, try_section

MOST = 4  # processes, and as many connections
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
Verifier = Callable[[Section], SectionResult | None]


def processes() -> int:
    return min(MOST, len(os.sched_getaffinity(0)))


def verify_sections(terms: Terms, connection: Trail, most: int | None = None) -> Joined | None:
    """Returns None if there are findings, or too few sections. Raises ChildProcessError."""
    most = most or processes()
    if most < 2 or not terms.span.is_all():
        return None
    todo = sections(connection, terms.pruned)
    if len(todo) < 2:
        return None
    with ExitStack() as helpers:
        verifiers: list[Verifier] = [partial(try_section, terms=terms, connection=connection)]
        helper_task = task(terms, connection)
        for _ in range(min(most, len(todo)) - 1):
            helper = Helper(helper_task)
            helpers.callback(helper.end)
            verifiers.append(helper.verify)
        return _join(_in_order(todo, verifiers))


def _join(results: Iterator[SectionResult | None]) -> Joined | None:
    joined = Joined()
    for result in results:
        if result is None or not joined.append(result):
            return None
    return joined


def _in_order(todo: list[Section], verifiers: list[Verifier]) -> Iterator[SectionResult | None]:
    free: SimpleQueue[Verifier] = SimpleQueue()
    for verifier in verifiers:
        free.put(verifier)

    def verify(section: Section) -> SectionResult | None:
        verifier = free.get()
        try:
            return verifier(section)
        finally:
            free.put(verifier)

    with ThreadPoolExecutor(len(verifiers)) as threads:
        yield from threads.map(verify, todo)


def sections(connection: Trail, pruned_months: Pruned) -> list[Section]:
    """Returns the sections; none if the trail cannot be cut."""
    if connection.execute(_MAY_BE_CUT).fetchone() != (True,):
        return []
    ends: list[tuple[int, Cut | None]] = [(-1, None), *_cuts(connection, pruned_months)]
    cuts = [cut for _, cut in ends if cut]
    if any(later <= earlier for earlier, later in pairwise(cuts)):
        return []
    return [
        Section(before + 1, last, after, upto)
        for (before, after), (last, upto) in pairwise([*ends, (EVER, None)])
    ]


def _cuts(connection: Trail, pruned_months: Pruned) -> Iterator[tuple[int, Cut]]:
    restarts_ = restarts(connection)
    values = {"since": pruned_months.complete_since, "events": EVENTS}
    checkpoints = connection.execute(_CHECKPOINTS, values).fetchall()
    for (n,) in checkpoints[:-1]:
        last = {"restarts": restarts_, "checkpoint": n}
        if row := connection.execute(_LAST, last).fetchone():
            yield n, Cut(*row)
