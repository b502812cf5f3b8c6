"""Keeps known what each served model can take, so that no request has to ask for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from inference.engines.base import Engine
from inference.engines.session import EngineSession

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
AGAIN_S = 2.0  # an engine that has not answered yet
EVERY_S = 30.0  # it may have been restarted with another model


async def probe(engines: Iterable[Engine]) -> list[Engine]:
    """Asks all of them once, and answers with those that said nothing."""
    async with EngineSession() as session:
        asked = list(engines)
        said = await asyncio.gather(*(_ask(engine, session) for engine in asked))
    return [engine for engine, learnt in zip(asked, said, strict=True) if not learnt]


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
    """Until it is cancelled. `engines` says which there are now: new ones are asked soon.

    `learnt` is told of those that were asked.
    """
    while True:
        everybody = engines()
        silent = await probe(everybody)
        await learnt(everybody)
        for _ in range(int(EVERY_S / AGAIN_S)):
            await asyncio.sleep(AGAIN_S)
            known, everybody = everybody, engines()
            silent = [one for one in silent if one in everybody]
            if asked := silent + [one for one in everybody if one not in known]:
                silent = await probe(asked)
                await learnt(asked)
