"""Health checks: /livez touches nothing, /readyz checks all that the process depends on.

With `?without=engines` it is ready even if no engine answers. Load balancers for people use that:
then they reach the console, and errors that explain the fault.

A flood of probes costs one check, not one each. Engines are checked beforehand
(engines/health/reachability.py): one that answers suffices. The console shows which do not; probes
come without a key and do not learn it.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import orjson

from inference.api.http.request import Request
from inference.engines import engines
from inference.engines.health import reachability
from inference.errors import MethodNotAllowed
from inference.intake.context import Context, context_of

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
CACHED_S = 0.5
PATHS = frozenset({"/livez", "/readyz", "/health"})  # the last is that of vLLM and llama.cpp
_abandoned: set[asyncio.Future[Any]] = set()  # a loop holds its tasks weakly
_last: tuple[float, asyncio.Task[dict[str, bool]]] | None = None


async def probe(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope, receive, send)
    if request.method not in ("GET", "HEAD"):
        return await request.refuse(MethodNotAllowed(request.path, "GET, HEAD"))
    if request.path == "/livez":
        return await request.answer(b'{"alive":true}')
    context = context_of(scope)
    checks = await recent(context)
    left_out = "engines" if request.query == b"without=engines" else ""
    ready = all(up for name, up in checks.items() if name != left_out)
    limits = {"alone": context.limits.rate.alone, "outages": context.limits.rate.outages}
    body = orjson.dumps({"ready": ready, "checks": checks, "limits": limits})
    return await request.answer(body, 200 if ready else 503)


async def recent(context: Context) -> dict[str, bool]:
    """Returns the last check, or one under way, unless it began too long ago."""
    global _last
    loop = asyncio.get_running_loop()
    if _last is None or _last[1].get_loop() is not loop or loop.time() - _last[0] > CACHED_S:
        _last = loop.time(), asyncio.create_task(checks(context))
    return await asyncio.shield(_last[1])


async def checks(context: Context) -> dict[str, bool]:
    questions = _ask_database(context), context.redis.call("PING")
    database, redis = await asyncio.gather(*map(_answers, questions))
    away = reachability.all_down(engines())
    states = {"database": database, "redis": redis, "engines": not away}
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
        await context.database.ask(lambda connection: connection.execute("select 1"))
    except BaseException:
        await context.database.close()
        raise
