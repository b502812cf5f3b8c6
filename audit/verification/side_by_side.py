"""Sections of the trail in several processes, so that no core idles.

What they say counts where all of it is well. Else everything is looked at in one go, which finds
what is wrong, whatever it is; so that there is one order in which findings are told.
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
from audit.verification.sections import Asked, Found, Section, Whole, tried

MOST = 4  # processes, and as many connections
Look = Callable[[Section], Found | None]


def processes() -> int:
    return min(MOST, len(os.sched_getaffinity(0)))


def whole(
    asked: Asked, connection: psycopg.Connection[Any], most: int | None = None
) -> Whole | None:
    """None: it is not worth it, or not all is well. Raises ChildProcessError."""
    most = most or processes()
    if most < 2 or not asked.span.is_all():
        return None
    todo = sections(connection, asked.gone)
    if len(todo) < 2:
        return None
    with ExitStack() as helpers:
        looks: list[Look] = [partial(tried, asked=asked, connection=connection)]
        theirs = task(asked, connection)
        for _ in range(min(most, len(todo)) - 1):
            helper = Helper(theirs)
            helpers.callback(helper.end)
            looks.append(helper.found_in)
        return _together(_in_order(todo, looks))


def _together(all_found: Iterator[Found | None]) -> Whole | None:
    together = Whole()
    for found in all_found:
        if found is None or not together.takes(found):
            return None
    return together


def _in_order(todo: list[Section], looks: list[Look]) -> Iterator[Found | None]:
    free: SimpleQueue[Look] = SimpleQueue()
    for look in looks:
        free.put(look)

    def found_in(section: Section) -> Found | None:
        look = free.get()
        try:
            return look(section)
        finally:
            free.put(look)

    with ThreadPoolExecutor(len(looks)) as threads:
        yield from threads.map(found_in, todo)
