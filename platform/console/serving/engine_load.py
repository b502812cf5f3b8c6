"""How busy an engine says it is. It is asked for that only while somebody looks at its page."""

import asyncio

import aiohttp
from asgiref.sync import async_to_sync

from inference.engines import engines
from inference.engines.base import Engine
from inference.engines.load import Load
from inference.engines.session import EngineSession

PATIENCE_S = 1.0


def engine_load(name: str) -> Load | None:
    """None where its kind does not say, where it does not answer, and for what are no figures."""
    found = next((engine for engine in engines() if engine.config.id == name), None)
    if found is None or type(found).load is Engine.load:
        return None
    try:
        return async_to_sync(_asked)(found)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, OverflowError):
        return None


async def _asked(engine: Engine) -> Load | None:
    async with EngineSession() as session, asyncio.timeout(PATIENCE_S):
        return await engine.load(session)
