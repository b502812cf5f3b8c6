"""The reachable engines, as this process knows them. Probes, pages and intake read it here.

An engine is available while its breaker lets requests through (breakers.py) and it answered the
last check of this process. No request waits for a check: intake uses what is known.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import aiohttp
from django.utils import timezone

from inference.engines.base import Engine
from inference.engines.health import breakers
from inference.engines.health.breakers import Phase
from inference.engines.transport.failure_reason import why_away
from inference.engines.transport.session import EngineSession

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
EVERY_S = 3.0
HOSTED_EVERY = 10  # rounds: hosted services are asked less often

_down: dict[str, datetime] = {}  # by the engine's id
_causes: dict[str, str] = {}  # causes, by the engine's id


def available(engine: Engine) -> bool:
    name = engine.config.id
    return name not in _down and breakers.phase(name) in (Phase.CLOSED, Phase.DUE)


def may_recover(engine: Engine) -> bool:
    """Returns whether a request may wait for it: it is silent, but its breaker is not open."""
    return breakers.phase(engine.config.id) is not Phase.OPEN


def down_since(engines: Collection[Engine]) -> datetime | None:
    """Returns since when none of them has been available; None while one is."""
    since = [_unavailable_since(engine.config.id) for engine in engines]
    down = [each for each in since if each]
    return max(down) if down and len(down) == len(since) else None


def silent_since(name: str) -> datetime | None:
    """Returns since when the engine of this name has not answered; None if it did last time."""
    return _down.get(name)


def silent_because(name: str) -> str:
    """Returns the fault at this process's last check; "" if the engine answered."""
    return _causes.get(name, "")


def all_down(engines: Collection[Engine]) -> bool:
    """Returns whether none of them is available."""
    return bool(engines) and not any(map(available, engines))


def _unavailable_since(name: str) -> datetime | None:
    return _down.get(name) or breakers.open_since(name)


async def look(engines: Iterable[Engine]) -> None:
    """Check all of them once."""
    async with EngineSession() as session:
        await asyncio.gather(*(_look_at(engine, session) for engine in engines))


async def keep_looking(engines: Callable[[], list[Engine]]) -> None:
    """Check the engines until it is cancelled. `engines` returns the present ones."""
    rounds = 0
    while True:
        await asyncio.sleep(EVERY_S)
        rounds += 1
        hosted_too = rounds % HOSTED_EVERY == 0
        await look([engine for engine in engines() if hosted_too or not engine.config.hosted])


async def _look_at(engine: Engine, session: EngineSession) -> None:
    name = engine.config.id
    if not (cause := await _silence_cause(engine, session)):
        _causes.pop(name, None)
        if _down.pop(name, None):
            log.info("%s: the engine responds again", name)
        return
    if engine.shown_cause(cause) != _causes.get(name) or name not in _down:
        log.warning("%s: the engine does not respond: %s", name, cause)
    _down.setdefault(name, timezone.now())
    _causes[name] = engine.shown_cause(cause)


async def _silence_cause(engine: Engine, session: EngineSession) -> str:
    """Returns why the engine does not answer; "" if it does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return "" if await engine.answers(session) else "it says that it is in trouble"
    except TimeoutError:
        return f"it did not answer within {PATIENCE_S:g} s"
    except (aiohttp.ClientError, OSError) as problem:
        return why_away(problem)
