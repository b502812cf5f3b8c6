"""Can this process work? A flood of questions asks us, and not the database.

Engines are asked beforehand (engines/reachable.py): while any of them answers, we can work. Which
do not is for pages to say: whoever asks here has no key.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from inference.engines import engines, reachable
from inference.intake.context import Context
from infrastructure.postgres.resilient_connection import Connection

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
KEPT_S = 0.5

_given_up: set[asyncio.Future[Any]] = set()  # a loop holds its tasks weakly
_last: tuple[float, asyncio.Task[dict[str, bool]]] | None = None


async def recent(context: Context) -> dict[str, bool]:
    """The last look, or one that is under way, unless it began too long ago."""
    global _last
    loop = asyncio.get_running_loop()
    if _last is None or _last[1].get_loop() is not loop or loop.time() - _last[0] > KEPT_S:
        _last = loop.time(), asyncio.create_task(checks(context))
    return await asyncio.shield(_last[1])


async def checks(context: Context) -> dict[str, bool]:
    named: dict[str, Awaitable[Any]] = {
        "database": _ask_database(context),
        "redis": context.redis.call("PING"),
    }
    answers = await asyncio.gather(*map(_answers, named.values()))
    found = dict(zip(named, answers, strict=True))
    found["engines"] = not reachable.all_down(engines())
    if down := [name for name, up in found.items() if not up]:
        log.warning("not ready: %s", ", ".join(down))
    return found


async def _answers(question: Awaitable[Any]) -> bool:
    """Does not wait for a question to be given up: psycopg asks a server that hangs to cancel it,
    for five seconds.
    """
    task = asyncio.ensure_future(question)
    done, _pending = await asyncio.wait({task}, timeout=PATIENCE_S)
    if done:
        return task.exception() is None
    task.cancel()
    _given_up.add(task)
    task.add_done_callback(_forget)
    return False


def _forget(task: asyncio.Future[Any]) -> None:
    _given_up.discard(task)
    if not task.cancelled():
        task.exception()  # nobody waits for it


async def _ask_database(context: Context) -> None:
    """Over a connection that stays: a new one for each question costs more than all the rest."""
    try:
        await context.database.ask(_asked)
    except BaseException:
        await context.database.close()
        raise


async def _asked(connection: Connection) -> None:
    await connection.execute("select 1")
