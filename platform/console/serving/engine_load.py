"""The load that an engine reports. It is requested only while somebody looks at its page."""

import asyncio

import aiohttp
from asgiref.sync import async_to_sync

from inference.engines import engines
from inference.engines.base import Engine
from inference.engines.load import Load
from inference.engines.transport.session import EngineSession

PATIENCE_S = 1.0


def engine_load(name: str) -> Load | None:
    """Returns None if the kind reports no load, or the engine does not answer with figures."""
    engine = next((each for each in engines() if each.config.id == name), None)
    if engine is None or type(engine).load is Engine.load:
        return None
    try:
        return async_to_sync(_request_load)(engine)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, OverflowError):
        return None


async def _request_load(engine: Engine) -> Load | None:
    async with EngineSession() as session, asyncio.timeout(PATIENCE_S):
        return await engine.load(session)
