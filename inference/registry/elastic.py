"""Engines that come and go with their workers (`elastic`): a pod with a server and its worker.

Such an engine takes requests only while its worker is present. So one without a pod gets no
requests, none waits for it, and no wake-ups pile up for its worker.
"""

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from threading import Thread

from django.db import DatabaseError, connections, transaction

from inference.engine_entries import queue
from inference.engines import pools
from inference.models import Engine
from inference.registry.importing import in_turn
from tenants.scope import system_scope

log = logging.getLogger(__name__)
BY = "system:worker"
AGAIN_S, PATIENCE_S = 1.0, 20.0


def attend(queues: Collection[str]) -> None:
    """Let these engines take requests: their first worker is present."""
    _switch(queues, there=True)


def leave(queues: Collection[str]) -> None:
    """Let them take no more requests; they finish those they have."""
    _switch(queues, there=False)


def stay(queues: Collection[str]) -> None:
    """Let them take requests on, since another worker has left and this one has not.

    Engines that an operator can drain stay drained.
    """
    _switch(queues, there=True, from_file=True)


def attend_soon(queues: Collection[str]) -> None:
    """Start a thread that tries until PostgreSQL answers."""
    Thread(target=_until_done, args=[partial(attend, queues)], daemon=True).start()


def stay_soon(queues: Collection[str]) -> None:
    """Do the same for `stay`, if one of them seems to be drained."""
    if not _left_out().isdisjoint(queues):
        Thread(target=_until_done, args=[partial(stay, queues)], daemon=True).start()


def leave_soon(queues: Collection[str]) -> None:
    """Start a thread, which the process waits for at its end."""
    Thread(target=_until_done, args=[partial(leave, queues), PATIENCE_S]).start()


def _until_done(tell: Callable[[], None], most_s: float = float("inf")) -> None:
    until = time.monotonic() + most_s
    while True:
        try:
            return tell()
        except DatabaseError as problem:
            log.warning("cannot say whether this worker's engine takes requests: %s", problem)
        finally:
            connections.close_all()
        if time.monotonic() > until:
            return None
        time.sleep(AGAIN_S)


def _left_out() -> set[str]:
    each = ((pool, engine) for pool in pools().values() for engine in pool.all_engines)
    drained = [e.config for pool, e in each if e.config.elastic and e not in pool.engines]
    return {queue(config.seat or config.id, 1) for config in drained}


def _switch(queues: Collection[str], *, there: bool, **which: bool) -> None:
    with system_scope(), transaction.atomic():
        in_turn()
        for engine in Engine.objects.filter(options__elastic=True, staged=False, **which):
            if queue(engine.seat or engine.name, 1) in queues:
                engine.attend(there=there, by=BY)
