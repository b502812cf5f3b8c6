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
_last: tuple[float, asyncio.Task[dict[str, str]]] | None = None
_STANDBY = "hot standby mode"  # libpq's words: it looks for a primary (config/environment.py)
NO_ANSWER, READ_ONLY, NO_ENGINE = "does not answer", "is read-only", "none answers"


async def probe(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope, receive, send)
    if request.method not in ("GET", "HEAD"):
        return await request.refuse(MethodNotAllowed(request.path, "GET, HEAD"))
    if request.path == "/livez":
        return await request.answer(b'{"alive":true}')
    context = context_of(scope)
    latest = await recent(context)
    left_out = "engines" if request.query == b"without=engines" else ""
    reasons = {name: why for name, why in latest.items() if why}
    ready = not reasons.keys() - {left_out}
    limits = {"alone": context.limits.rate.alone, "outages": context.limits.rate.outages}
    states = {name: not why for name, why in latest.items()}
    body = orjson.dumps({"ready": ready, "checks": states, "reasons": reasons, "limits": limits})
    return await request.answer(body, 200 if ready else 503)


async def recent(context: Context) -> dict[str, str]:
    """Returns the last look at obstacles, or one under way, unless it began too long ago."""
    global _last
    loop = asyncio.get_running_loop()
    if _last is None or _last[1].get_loop() is not loop or loop.time() - _last[0] > CACHED_S:
        _last = loop.time(), asyncio.create_task(obstacles(context))
    return await asyncio.shield(_last[1])


async def checks(context: Context) -> dict[str, bool]:
    return {name: not why for name, why in (await obstacles(context)).items()}


async def obstacles(context: Context) -> dict[str, str]:
    """Returns why each part is not ready, "" if it is."""
    questions = _ask_database(context), context.redis.call("PING")
    database, redis = await asyncio.gather(*map(_obstacle, questions))
    if database and _STANDBY in context.database.last_problem:
        database = READ_ONLY
    engines_away = NO_ENGINE if reachability.all_down(engines()) else ""
    reasons = {"database": database, "redis": redis, "engines": engines_away}
    if away := [f"{name} ({why})" for name, why in reasons.items() if why]:
        log.warning("not ready: %s", ", ".join(away))
    return reasons


class _ReadOnly(Exception):
    """The server takes no writes: a standby, or default_transaction_read_only."""


async def _obstacle(question: Awaitable[Any]) -> str:
    """Returns why it does not succeed in time, "" if it does.

    It does not wait for the cancellation: psycopg asks a hanging server to cancel, for five
    seconds.
    """
    task = asyncio.ensure_future(question)
    finished, _pending = await asyncio.wait({task}, timeout=PATIENCE_S)
    if finished:
        problem = task.exception()
        return READ_ONLY if isinstance(problem, _ReadOnly) else NO_ANSWER if problem else ""
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)
    return NO_ANSWER


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # nobody waits for it


async def _ask_database(context: Context) -> None:
    """Ask over a permanent connection: a new one each time costs more than all the rest.

    Raises _ReadOnly. The next look connects anew, perhaps to a server that takes writes.
    """
    try:
        cursor = await context.database.ask(
            lambda connection: connection.execute("show transaction_read_only")
        )
        if await cursor.fetchone() != ("off",):
            raise _ReadOnly
    except BaseException:
        await context.database.close()
        raise
