"""Keeps the capabilities of each served model known, so that no request has to ask for them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
AGAIN_S = 2.0  # for an engine that has not answered yet
EVERY_S = 30.0  # it may have been restarted with another model


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
        for _ in range(int(EVERY_S / AGAIN_S)):
            await asyncio.sleep(AGAIN_S)
            previous, present = present, engines()
            silent = [engine for engine in silent if engine in present]
            if due := silent + [engine for engine in present if engine not in previous]:
                silent = await probe(due)
                await learnt(due)
