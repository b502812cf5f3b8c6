"""Celery's entries. A message carries no request: it only says that there is work."""

import asyncio

import uvloop
from celery import shared_task
from celery.signals import worker_shutting_down
from django.dispatch import receiver

from inference.engines import pools
from inference.engines.base import Engine
from inference.models import IdempotencyKey
from inference.record.reconciliation import reconcile_due
from inference.registry.following import changed
from inference.usage import rollup
from inference.worker.colleagues import Colleagues
from inference.worker.runner import Runner
from inference.worker.sweeper import sweep_all

_live: set[tuple[asyncio.AbstractEventLoop, Runner]] = set()


@shared_task(name="inference.drain", ignore_result=True)
def drain(pool: str, engine: str, worker: int = 1) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_drain(pool, engine, worker))


@shared_task(name="inference.sweep", ignore_result=True)
def sweep() -> None:
    sweep_all()


@shared_task(name="inference.roll_up", ignore_result=True)
def roll_up() -> None:
    rollup.roll_up()


@shared_task(name="inference.forget_keys", ignore_result=True)
def forget_keys() -> None:
    IdempotencyKey.objects.over().delete()


@shared_task(name="inference.reconcile", ignore_result=True)
def reconcile() -> None:
    reconcile_due()


async def _drain(pool: str, engine: str, worker: int) -> None:
    if (server := _in_use(pool, engine)) is None:
        return  # it was removed, or drains: the message is from before
    colleagues = Colleagues(pool, engine, worker)
    me = asyncio.get_running_loop(), Runner(pool, server, colleagues)
    _live.add(me)
    try:
        await me[1].drain()
    finally:
        _live.discard(me)


def _in_use(pool: str, engine: str) -> Engine | None:
    found = pools().get(pool)
    return found.takes(engine) if found else None


@receiver(changed)
def _let_go(**_signal: object) -> None:
    """A runner of an engine that drains, was removed or is another now takes no more requests. It
    finishes what it has; the next wake-up starts one with what is in force then.
    """
    for loop, runner in list(_live):
        if _in_use(runner.pool, runner.configured.config.id) is not runner.configured:
            loop.call_soon_threadsafe(runner.stop)


@worker_shutting_down.connect
def _stop_taking_work(**_: object) -> None:
    for loop, runner in list(_live):
        loop.call_soon_threadsafe(runner.stop)
