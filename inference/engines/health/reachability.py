"""The reachable engines and their capabilities, as this process knows them.

Probes, pages and intake read it here. An engine is available while its breaker lets requests
through (breakers.py) and it answered the last check of this process. No request waits for a check:
intake uses what is known.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import aiohttp
from django.utils import timezone

from inference.engines.base import Engine
from inference.engines.health import breakers
from inference.engines.health.breakers import Phase
from inference.engines.transport.failure_reason import why_away
from inference.engines.transport.session import EngineSession
from inference.models.served import Engine as EngineRow

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
EVERY_S = 3.0
HOSTED_EVERY = 10  # rounds: hosted services are asked less often
AGAIN_S = 2.0  # for an engine that has not reported its capabilities yet
PROBE_EVERY_S = 30.0  # it may have been restarted with another model

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
    names = [engine.config.id for engine in engines]
    since = [_down.get(name) or breakers.open_since(name) for name in names]
    down = [each for each in since if each]
    return max(down) if down and len(down) == len(since) else None


def silent_because(name: str) -> str:
    """Returns the fault at this process's last check; "" if the engine answered."""
    return _causes.get(name, "")


def all_down(engines: Collection[Engine]) -> bool:
    """Returns whether none of them is available."""
    return bool(engines) and not any(map(available, engines))


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
    except (aiohttp.ClientError, OSError, UnicodeError) as problem:  # Unicode: no name of a host
        return why_away(problem)
    except Exception as problem:  # of this engine alone: all others are checked on
        log.exception("%s: cannot ask for its health", engine.config.name)
        return why_away(problem)


# The state of an engine in one word, with its time and cause --------------------------------------
class Condition(StrEnum):
    STARTING = "starting"  # the supervisor has started its server, which is not ready yet
    READY = "ready"
    LOADING = "loading"  # a new version, not in use yet
    DRAINING = "draining"  # it takes no new requests, and finishes those it has
    DOWN = "down"


class Cause(StrEnum):
    NONE = ""
    SILENT = "silent"  # it did not answer this process's last check
    BREAKER = "breaker"  # its breaker lets nothing through
    LOADING = "loading"
    RESTARTED = "restarted"  # `detail`: how its last process ended


@dataclass(frozen=True, slots=True)
class EngineState:
    condition: Condition
    since: datetime | None = None
    cause: Cause = Cause.NONE
    detail: str = ""


def engine_state(engine: EngineRow) -> EngineState:
    """Returns the state. The operator's draining comes before all that is observed."""
    if engine.staged:
        return EngineState(Condition.LOADING, engine.created_at)
    drains = engine.draining or engine.lent_since  # resumed, but a job has its GPU still
    return EngineState(Condition.DRAINING) if drains else state_unless_draining(engine)


def state_unless_draining(engine: EngineRow) -> EngineState:
    """Returns the state that it would have if it did not drain."""
    if engine.launched and engine.starting_since:
        reason = engine.starting_reason
        cause = Cause.RESTARTED if reason else Cause.LOADING
        return EngineState(Condition.STARTING, engine.starting_since, cause, reason)
    if since := _down.get(engine.name):
        reason = silent_because(engine.name)
        return EngineState(Condition.DOWN, since, Cause.SILENT, reason)
    if since := breakers.open_since(engine.name):
        return EngineState(Condition.DOWN, since, Cause.BREAKER)
    return EngineState(Condition.READY)


# Capabilities: kept known, so that no request has to ask for them --------------------------------
async def probe(engines: Iterable[Engine]) -> list[Engine]:
    """Probe all engines once. Returns those that have not answered."""
    async with EngineSession() as session:
        probed = list(engines)
        answers = await asyncio.gather(*(_ask(engine, session) for engine in probed))
    return [engine for engine, answered in zip(probed, answers, strict=True) if not answered]


async def _ask(engine: Engine, session: EngineSession) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await engine.probe(session)
    except TimeoutError:
        return False
    except Exception:
        log.exception("%s: cannot read the model's capabilities", engine.config.name)
        return False


async def keep_known(
    engines: Callable[[], list[Engine]], learnt: Callable[[list[Engine]], Awaitable[None]]
) -> None:
    """Probe until it is cancelled. `engines` returns the present ones: new ones are probed soon.

    `learnt` gets the engines that were probed.
    """
    while True:
        present = engines()
        silent = await probe(present)
        await learnt(present)
        for _ in range(int(PROBE_EVERY_S / AGAIN_S)):
            await asyncio.sleep(AGAIN_S)
            previous, present = present, engines()
            silent = [engine for engine in silent if engine in present]
            if due := silent + [engine for engine in present if engine not in previous]:
                silent = await probe(due)
                await learnt(due)
