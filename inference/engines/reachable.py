"""Which engines can be asked, as this process knows: probes, pages and intake look it up here.

An engine can be asked while its breaker lets requests through (breakers.py) and it answered when
this process last looked. No request waits for a look: intake takes what is known.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import aiohttp
from django.utils import timezone

from inference.engines import breakers
from inference.engines.base import Engine
from inference.engines.breakers import Phase
from inference.engines.session import EngineSession
from inference.engines.why_away import why_away

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
EVERY_S = 3.0
HOSTED_EVERY = 10  # rounds: somebody else's service is not asked all the time

_down: dict[str, datetime] = {}  # by the engine's id
_why: dict[str, str] = {}  # they are down


def available(engine: Engine) -> bool:
    name = engine.config.id
    return name not in _down and breakers.phase(name) in (Phase.CLOSED, Phase.DUE)


def may_recover(engine: Engine) -> bool:
    """Whether a request may wait for it: its breaker is not open, it only does not answer now."""
    return breakers.phase(engine.config.id) is not Phase.OPEN


def down_since(engines: Collection[Engine]) -> datetime | None:
    """Since when none of them has been available; None while one is."""
    since = [_unavailable_since(engine.config.id) for engine in engines]
    known = [each for each in since if each]
    return max(known) if known and len(known) == len(since) else None


def silent_since(name: str) -> datetime | None:
    """Since when the engine of this name has not answered; None for one that did last time."""
    return _down.get(name)


def silent_because(name: str) -> str:
    """What was wrong when this process last looked; "" where the engine answered."""
    return _why.get(name, "")


def all_down(engines: Collection[Engine]) -> bool:
    """Whether not one of them is available."""
    return bool(engines) and not any(map(available, engines))


def _unavailable_since(name: str) -> datetime | None:
    return _down.get(name) or breakers.open_since(name)


async def look(engines: Iterable[Engine]) -> None:
    """Asks all of them once."""
    async with EngineSession() as session:
        await asyncio.gather(*(_look_at(engine, session) for engine in engines))


async def keep_looking(engines: Callable[[], list[Engine]]) -> None:
    """Until it is cancelled. `engines` says which there are now."""
    rounds = 0
    while True:
        await asyncio.sleep(EVERY_S)
        rounds += 1
        hosted_too = rounds % HOSTED_EVERY == 0
        await look([one for one in engines() if hosted_too or not one.config.hosted])


async def _look_at(engine: Engine, session: EngineSession) -> None:
    name = engine.config.id
    if not (why := await _why_silent(engine, session)):
        _why.pop(name, None)
        if _down.pop(name, None):
            log.info("%s: the engine responds again", name)
        return
    if engine.shown_cause(why) != _why.get(name) or name not in _down:
        log.warning("%s: the engine does not respond: %s", name, why)
    _down.setdefault(name, timezone.now())
    _why[name] = engine.shown_cause(why)


async def _why_silent(engine: Engine, session: EngineSession) -> str:
    """ "" where it answers."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return "" if await engine.answers(session) else "it says that it is in trouble"
    except TimeoutError:
        return f"it did not answer within {PATIENCE_S:g} s"
    except (aiohttp.ClientError, OSError) as problem:
        return why_away(problem)
