"""Verifies sections of the trail in several processes, so that no core is idle.

Their results count only if none has a finding. Otherwise everything is verified in one pass, which
finds the faults and reports them in one order.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from typing import Any

import psycopg

from audit.verification.cuts import sections
from audit.verification.section_process import Helper, task
from audit.verification.sections import Joined, Section, SectionResult, Terms, try_section

MOST = 4  # processes, and as many connections
Verifier = Callable[[Section], SectionResult | None]


def processes() -> int:
    return min(MOST, len(os.sched_getaffinity(0)))


def verify_sections(
    terms: Terms, connection: psycopg.Connection[Any], most: int | None = None
) -> Joined | None:
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
