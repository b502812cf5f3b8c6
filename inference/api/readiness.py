"""Checks whether this process can work. A flood of probes costs one check, not one each.

Engines are checked beforehand (engines/health/reachability.py): one that answers suffices. The
console shows which do not; probes come without a key and do not learn it.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from inference.engines import engines
from inference.engines.health import reachability
from inference.intake.context import Context
from infrastructure.postgres.resilient_connection import Connection

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
CACHED_S = 0.5

_abandoned: set[asyncio.Future[Any]] = set()  # a loop holds its tasks weakly
_last: tuple[float, asyncio.Task[dict[str, bool]]] | None = None


async def recent(context: Context) -> dict[str, bool]:
    """Returns the last check, or one under way, unless it began too long ago."""
    global _last
    loop = asyncio.get_running_loop()
    if _last is None or _last[1].get_loop() is not loop or loop.time() - _last[0] > CACHED_S:
        _last = loop.time(), asyncio.create_task(checks(context))
    return await asyncio.shield(_last[1])


async def checks(context: Context) -> dict[str, bool]:
    questions: dict[str, Awaitable[Any]] = {
        "database": _ask_database(context),
        "redis": context.redis.call("PING"),
    }
    answers = await asyncio.gather(*map(_answers, questions.values()))
    states = dict(zip(questions, answers, strict=True))
    states["engines"] = not reachability.all_down(engines())
    if down := [name for name, up in states.items() if not up]:
        log.warning("not ready: %s", ", ".join(down))
    return states


async def _answers(question: Awaitable[Any]) -> bool:
    """Returns whether it succeeds in time.

    It does not wait for the cancellation: psycopg asks a hanging server to cancel, for five
    seconds.
    """
    task = asyncio.ensure_future(question)
    finished, _pending = await asyncio.wait({task}, timeout=PATIENCE_S)
    if finished:
        return task.exception() is None
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)
    return False


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # nobody waits for it


async def _ask_database(context: Context) -> None:
    """Ask over a permanent connection: a new one each time costs more than all the rest."""
    try:
        await context.database.ask(_select_one)
    except BaseException:
        await context.database.close()
        raise


async def _select_one(connection: Connection) -> None:
    await connection.execute("select 1")
