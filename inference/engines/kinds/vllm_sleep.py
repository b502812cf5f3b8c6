"""Sleep mode of a vLLM: its weights wait in the host's memory, and its GPU is free.

The server needs `--enable-sleep-mode`, and VLLM_SERVER_DEV_MODE=1 for the paths.
Source: https://docs.vllm.ai/en/latest/features/sleep_mode.html
"""

from typing import Any

import aiohttp
import orjson

from inference.engines.base import Engine
from inference.engines.transport.session import CONNECT_S, EngineSession, report_in

WITHIN_S = 60.0  # for the way of all weights to the host's memory or back
_ASK_S = 5.0


async def fall_asleep(engine: Engine, session: EngineSession) -> None:
    """Returns once it sleeps. Raises ClientError, TimeoutError, ValueError."""
    if not await _is_asleep(engine, session):
        await _call(engine, session, "POST", "/sleep?level=1", WITHIN_S)
    if not await _is_asleep(engine, session):
        raise ValueError("it has not fallen asleep")


async def wake_up(engine: Engine, session: EngineSession) -> None:
    """Returns once it is awake. Raises ClientError, TimeoutError, ValueError."""
    if await _is_asleep(engine, session):
        await _call(engine, session, "POST", "/wake_up", WITHIN_S)
    if await _is_asleep(engine, session):
        raise ValueError("it has not woken up")


async def _is_asleep(engine: Engine, session: EngineSession) -> bool:
    answer = orjson.loads(await _call(engine, session, "GET", "/is_sleeping", _ASK_S))
    if not isinstance(answer, dict) or not isinstance(answer.get("is_sleeping"), bool):
        raise ValueError("it does not say whether it sleeps")
    is_asleep: bool = answer["is_sleeping"]
    return is_asleep


async def _call(
    engine: Engine, session: EngineSession, method: str, path: str, within_s: float
) -> Any:
    http = session.http(hosted=engine.config.hosted)
    asking = http.request(
        method,
        engine.root + path,
        headers=engine.headers(),
        timeout=aiohttp.ClientTimeout(total=within_s, connect=CONNECT_S),
        allow_redirects=False,
    )
    async with asking as response:
        response.raise_for_status()
        return await report_in(response)
