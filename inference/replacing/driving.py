"""Drives replacements from step to step, in a thread each: whoever holds the lease.

A thread that dies with its process is followed by another one as soon as its lease is over. So
every step can be done again: an engine is asked and warmed once more, and what is decided stands
in PostgreSQL.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from threading import Thread
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from redis import RedisError

from inference.engines import built
from inference.engines.base import Engine
from inference.engines.session import EngineSession
from inference.models import Engine as EngineRow
from inference.models.replacement import BEFORE_SWITCH, LEASE, OPEN, Replacement, Step
from inference.pools import Entry
from inference.queue.occupancy import occupancy
from inference.replacing.compared import less
from inference.replacing.warming import Unusable, until_it_answers, warm_up
from infrastructure.redis.cluster_link import link_to

log = logging.getLogger(__name__)
T = TypeVar("T")
BY = "system:replacement"
BEAT_S = 0.5
SETTLED_AFTER_S = 2.0  # since the switch: by then every runner has heard of it


class Lost(Exception):
    """Somebody else drives it, or it has ended: cancelled, or gone with its pool."""


def drive_all() -> list[Thread]:
    """Each that nobody drives, from now on in a thread of its own."""
    found = [
        (one.pk, driver) for one in Replacement.objects.unattended() if (driver := one.claim())
    ]
    threads = [Thread(target=_drive, args=each, daemon=True) for each in found]
    for thread in threads:
        thread.start()
    return threads


def _drive(pk: UUID, driver: UUID) -> None:
    try:
        with Drive(pk, driver) as drive:
            drive.run()
    except Lost:
        log.info("replacement %s: somebody else goes on with it", pk)
    except DatabaseError as problem:  # the lease runs out: it is tried again
        log.warning("replacement %s: cannot go on: %s", pk, problem)
    except Exception:
        log.exception("replacement %s failed", pk)
    finally:
        connection.close()


class Drive:
    """Of one replacement, for as long as it holds the lease."""

    def __init__(self, pk: UUID, driver: UUID) -> None:
        self._pk, self._driver = pk, driver
        self._steps: dict[str, Callable[[Replacement], None]] = {
            Step.LOADING: self._load,
            Step.WARMING: self._warm,
            Step.SWITCHED: self._await_drained,
            Step.ROLLING_BACK: self._await_drained,
        }

    def __enter__(self) -> "Drive":
        self._loop = asyncio.Runner()
        self._session = self._loop.run(_session())
        self._redis = link_to(settings.REDIS_URL)
        return self

    def __exit__(self, *_problem: object) -> None:
        self._redis.close()
        self._loop.run(self._session.__aexit__())
        self._loop.close()

    def run(self) -> None:
        """Raises Lost, DatabaseError."""
        while step := self._steps.get((row := self._row()).step):
            try:
                _refuse_without(row)
                step(row)
            except Unusable as problem:
                self._fail(row.step, str(problem))
            except (Lost, DatabaseError):
                raise
            except Exception as problem:  # tried again, it would warm up for ever
                if row.step not in BEFORE_SWITCH:
                    raise
                log.exception("replacement %s failed", self._pk)
                self._fail(row.step, f"a fault of the platform: {type(problem).__name__}")

    def _fail(self, step: str, reason: str) -> None:
        self._decide(step, lambda locked: locked.fail(reason, by=BY))

    # Steps ---------------------------------------------------------------------------------------
    def _load(self, row: Replacement) -> None:
        new = _engine(row.new)
        try:
            self._meanwhile(self._foretold(new, until_it_answers(new, self._session)), before=row)
        except TimeoutError:
            raise Unusable(_why_silent(row)) from None
        self._decide(Step.LOADING, lambda locked: locked.loaded())

    def _warm(self, row: Replacement) -> None:
        new = _engine(row.new)
        try:
            asked = warm_up(new, self._session, row.warm_ups)
            took = self._meanwhile(self._foretold(new, asked), before=row)
        except TimeoutError:
            raise Unusable(_why_silent(row)) from None
        if not row.may_take_less and (lost := self._less(row, new)):
            raise Unusable(f"it takes less than the old one: {', '.join(lost)}")
        self._decide(Step.WARMING, lambda locked: locked.switch(by=BY, warm_up_ms=took))

    def _less(self, row: Replacement, new: Engine) -> list[str]:
        return self._meanwhile(less(_engine(row.old), new, self._session))

    async def _foretold(self, new: Engine, work: Coroutine[Any, Any, T]) -> T:
        async with new.announced(self._redis):
            return await work

    def _await_drained(self, row: Replacement) -> None:
        """Until the one that served before has nothing left, and no runner can come up late."""
        rolls_back = row.step == Step.ROLLING_BACK
        leaves = row.new_name if rolls_back else row.old_name
        quiet = 0.0
        while quiet < SETTLED_AFTER_S:
            self._meanwhile(asyncio.sleep(BEAT_S))
            quiet = 0.0 if _is_busy(row.pool.name, leaves) else quiet + BEAT_S
        self._decide(row.step, lambda locked: locked.finish(by=BY))

    # ---------------------------------------------------------------------------------------------
    def _row(self) -> Replacement:
        """Raises Lost."""
        rows = Replacement.objects.select_related("pool__model", "old", "new")
        row: Replacement | None = rows.filter(pk=self._pk, driver=self._driver).first()
        if row is None:
            raise Lost
        return row

    def _decide(self, step: str, verb: Callable[[Replacement], None]) -> None:
        """In one transaction, if it still is at this step and ours. Raises Lost."""
        with transaction.atomic():
            rows = Replacement.objects.select_for_update(of=("self",), no_key=True)
            mine = rows.filter(pk=self._pk, driver=self._driver, step=step)
            locked = mine.select_related("pool", "old", "new").first()
            if locked is None:
                raise Lost
            verb(locked)

    def _meanwhile(self, work: Coroutine[Any, Any, T], *, before: Replacement | None = None) -> T:
        """What it returns; the lease is renewed meanwhile. Raises Lost, and TimeoutError where it
        takes longer than `before` may take.
        """
        task = self._loop.get_loop().create_task(work)
        try:
            while not task.done():
                self._loop.run(_some_time(task))
                self._beat()
                if before and not task.done() and _is_late(before):
                    raise TimeoutError
            return task.result()
        finally:
            if task.cancel():
                self._loop.run(_some_time(task))

    def _beat(self) -> None:
        """Raises Lost; Unusable where somebody removed one of the two before the switch."""
        mine = Replacement.objects.filter(pk=self._pk, driver=self._driver, step__in=OPEN)
        if not mine.update(driven_until=Now() + LEASE):
            raise Lost
        if mine.filter(Q(old=None) | Q(new=None), step__in=BEFORE_SWITCH).exists():
            raise Unusable("an engine was removed")


def _refuse_without(row: Replacement) -> None:
    """Somebody removed one of the two before the switch. Raises Unusable."""
    if row.step not in BEFORE_SWITCH:
        return
    for engine, name in ((row.old, row.old_name), (row.new, row.new_name)):
        if engine is None:
            raise Unusable(f"the engine {name} was removed")


async def _session() -> EngineSession:
    return await EngineSession().__aenter__()


async def _some_time(task: asyncio.Task[Any]) -> None:
    await asyncio.wait({task}, timeout=BEAT_S)


def _engine(row: EngineRow | None) -> Engine:
    """Raises Unusable."""
    assert row
    pool = row.pool
    try:
        names = (pool.model.name, pool.name, row.name)
        return built(Entry(*names, row.fields, seat=row.seat, from_file=row.from_file))
    except ValueError as problem:
        raise Unusable(str(problem)) from None


def _is_late(row: Replacement) -> bool:
    return (timezone.now() - row.created_at).total_seconds() > row.load_within_s


def _why_silent(row: Replacement) -> str:
    """With how its server ended last, where it is one of ours."""
    how = EngineRow.objects.filter(pk=row.new_id).values_list("starting_reason", flat=True).first()
    why = f": its server {how}" if how else ""
    return f"it was not ready within {row.load_within_s} s{why}"


def _is_busy(pool: str, engine: str) -> bool:
    """So it is taken to be while Redis is away."""
    try:
        return bool(occupancy([pool])[pool].by_engine[engine])
    except RedisError:
        return True
