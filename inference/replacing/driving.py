"""Drives replacements from step to step, each in a thread that holds its lease.

If a thread dies with its process, another one takes over when the lease expires. So every step can
be repeated: an engine is asked and warmed once more, and decisions are in PostgreSQL.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from threading import Thread
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from redis import RedisError

from inference.engine_entries import EngineEntry
from inference.engines import built
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.model_registry.promoting import COPY_PROBLEMS, is_of_registry, make_copy
from inference.models import Engine as EngineRow
from inference.models.replacement import BEFORE_SWITCH, LEASE, OPEN, Replacement, Step
from inference.queue.occupancy import occupancy
from inference.replacing.acceptance import (
    Unusable,
    missing_capabilities,
    until_it_answers,
    warm_up,
)
from infrastructure.redis.cluster_link import link_to

log = logging.getLogger(__name__)
T = TypeVar("T")
BY = "system:replacement"
BEAT_S = 0.5
SETTLED_AFTER_S = 2.0  # after the switch; by then every runner knows it


class Lost(Exception):
    """Another thread drives it, or it has ended: cancelled, or gone with its pool."""


def drive_all() -> list[Thread]:
    """Drive each replacement without a driver, in a thread of its own."""
    claimed = [
        (row.pk, driver) for row in Replacement.objects.unattended() if (driver := row.claim())
    ]
    threads = [Thread(target=_drive, args=each, daemon=True) for each in claimed]
    for thread in threads:
        thread.start()
    return threads


def _drive(pk: UUID, driver: UUID) -> None:
    try:
        with Drive(pk, driver) as drive:
            drive.run()
    except Lost:
        log.info("replacement %s: somebody else goes on with it", pk)
    except DatabaseError as problem:  # the lease expires, and another thread tries again
        log.warning("replacement %s: cannot go on: %s", pk, problem)
    except Exception:
        log.exception("replacement %s failed", pk)
    finally:
        connection.close()


class Drive:
    """Drives one replacement while it holds the lease."""

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
        """Run the steps. Raises Lost, DatabaseError."""
        while step := self._steps.get((row := self._row()).step):
            try:
                _check_engines(row)
                step(row)
            except Unusable as problem:
                self._fail(row.step, str(problem))
            except (Lost, DatabaseError):
                raise
            except Exception as problem:  # a retry would warm up for ever
                if row.step not in BEFORE_SWITCH:
                    raise
                log.exception("replacement %s failed", self._pk)
                self._fail(row.step, f"a fault of the platform: {type(problem).__name__}")

    def _fail(self, step: str, reason: str) -> None:
        self._decide(step, lambda locked: locked.fail(reason, by=BY))

    # Steps ---------------------------------------------------------------------------------------
    def _load(self, row: Replacement) -> None:
        new = _engine(row.new)
        if row.new and is_of_registry(row.new):
            self._copy(row, row.new)
        self._in_time(row, new, until_it_answers(new, self._session))
        self._decide(Step.LOADING, lambda locked: locked.loaded())

    def _copy(self, row: Replacement, engine: EngineRow) -> None:
        until = row.created_at + timedelta(seconds=row.load_within_s)
        try:
            self._meanwhile(asyncio.to_thread(_make_copy, engine), until)
        except TimeoutError:
            raise Unusable(_silence_reason(row)) from None
        except COPY_PROBLEMS as problem:
            log.warning("replacement %s: no copy of its files: %s", self._pk, problem)
            raise Unusable(f"its files cannot be brought here: {type(problem).__name__}") from None

    def _warm(self, row: Replacement) -> None:
        new = _engine(row.new)
        took = self._in_time(row, new, warm_up(new, self._session, row.warm_ups))
        if not row.may_take_less:
            self._refuse_if_less(_engine(row.old), new)
        self._decide(Step.WARMING, lambda locked: locked.switch(by=BY, warm_up_ms=took))

    def _refuse_if_less(self, old: Engine, new: Engine) -> None:
        if missing := self._meanwhile(missing_capabilities(old, new, self._session)):
            raise Unusable(f"it takes less than the old one: {', '.join(missing)}")

    def _in_time(self, row: Replacement, new: Engine, work: Coroutine[Any, Any, T]) -> T:
        """Returns the result of work with the new engine, which is announced meanwhile.

        Raises Unusable if it takes longer than the row allows.
        """

        async def announced() -> T:
            async with new.announced(self._redis):
                return await work

        try:
            until = row.created_at + timedelta(seconds=row.load_within_s)
            return self._meanwhile(announced(), until)
        except TimeoutError:
            raise Unusable(_silence_reason(row)) from None

    def _await_drained(self, row: Replacement) -> None:
        """Wait until the drained engine has no requests, and no runner can come late."""
        rolls_back = row.step == Step.ROLLING_BACK
        leaves = row.new_name if rolls_back else row.old_name
        quiet = 0.0
        while quiet < SETTLED_AFTER_S:
            self._meanwhile(asyncio.sleep(BEAT_S))
            quiet = 0.0 if _is_busy(row.pool.name, leaves) else quiet + BEAT_S
        self._decide(row.step, lambda locked: locked.finish(by=BY))

    # ---------------------------------------------------------------------------------------------
    def _row(self) -> Replacement:
        rows = Replacement.objects.select_related("pool__model", "old", "new")
        row: Replacement | None = rows.filter(pk=self._pk, driver=self._driver).first()
        if row is None:
            raise Lost
        return row

    def _decide(self, step: str, verb: Callable[[Replacement], None]) -> None:
        """Act in one transaction, if it is still at this step and ours. Raises Lost."""
        with transaction.atomic():
            rows = Replacement.objects.select_for_update(of=("self",), no_key=True)
            owned = rows.filter(pk=self._pk, driver=self._driver, step=step)
            locked = owned.select_related("pool", "old", "new").first()
            if locked is None:
                raise Lost
            verb(locked)

    def _meanwhile(self, work: Coroutine[Any, Any, T], until: datetime | None = None) -> T:
        """Run it while the lease is renewed, and return its result. Raises Lost, TimeoutError."""
        task = self._loop.get_loop().create_task(work)
        try:
            while not task.done():
                self._loop.run(_some_time(task))
                self._beat()
                if until and not task.done() and timezone.now() > until:
                    raise TimeoutError
            return task.result()
        finally:
            if task.cancel():
                self._loop.run(_some_time(task))

    def _beat(self) -> None:
        """Renew the lease. Raises Lost; Unusable if an engine was removed before the switch."""
        owned = Replacement.objects.filter(pk=self._pk, driver=self._driver, step__in=OPEN)
        if not owned.update(driven_until=Now() + LEASE):
            raise Lost
        if owned.filter(Q(old=None) | Q(new=None), step__in=BEFORE_SWITCH).exists():
            raise Unusable("an engine was removed")


def _make_copy(engine: EngineRow) -> None:
    try:
        make_copy(engine)
    finally:
        connection.close()  # of this thread


def _check_engines(row: Replacement) -> None:
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
    assert row
    pool = row.pool
    try:
        names = (pool.model.name, pool.name, row.name)
        return built(EngineEntry(*names, row.fields, seat=row.seat, from_file=row.from_file))
    except ValueError as problem:
        raise Unusable(str(problem)) from None


def _silence_reason(row: Replacement) -> str:
    new = EngineRow.objects.filter(pk=row.new_id)
    ending = new.values_list("starting_reason", flat=True).first()
    suffix = f": its server {ending}" if ending else ""
    return f"it was not ready within {row.load_within_s} s{suffix}"


def _is_busy(pool: str, engine: str) -> bool:
    """Returns whether it has requests; also true while Redis is away."""
    try:
        return bool(occupancy([pool])[pool].by_engine[engine])
    except RedisError:
        return True
