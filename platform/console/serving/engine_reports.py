"""What an engine says of itself: the load that it reports, and the end of its server's log."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from asgiref.sync import async_to_sync
from django.conf import settings

from audit.keys import configuration_secrets
from audit.keys.cipher import Unreadable
from inference.engines import base, engines
from inference.engines.load import Load
from inference.engines.transport.session import EngineSession
from inference.models import Engine
from tenants import secret_keys

LINES, BYTES = 200, 64 * 1024
LONGEST_LINE = 500
# Colours and other commands to a terminal, and characters that no page can show.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
PATIENCE_S = 1.0  # with an engine that reports its load


@dataclass(frozen=True, slots=True)
class LogTail:
    lines: list[str]
    mark: str  # changes whenever the file does

    @property
    def count(self) -> int:
        return LINES


def log_tail(engine: Engine) -> LogTail | None:
    """Returns None for an engine whose server Forebay does not run."""
    if not engine.launched:
        return None
    try:
        with _log_path(engine.name).open("rb") as file:
            state = os.fstat(file.fileno())
            file.seek(max(0, state.st_size - BYTES))
            text = file.read(BYTES).decode(errors="replace")
    except FileNotFoundError:
        return LogTail([], "0")
    whole = text if state.st_size <= BYTES else text.partition("\n")[2]
    lines = [_last_overwrite(line) for line in _without_secrets(whole, engine).split("\n")]
    mark = f"{state.st_ino}-{state.st_size}-{state.st_mtime_ns}"
    return LogTail([line for line in lines if line.strip()][-LINES:], mark)


def _last_overwrite(line: str) -> str:
    """Returns the text after the last carriage return: the last state of a progress bar."""
    return line.rstrip("\r").rpartition("\r")[2][:LONGEST_LINE]


def _log_path(name: str) -> Path:
    """Returns the path that the supervisor uses (config/supervisor/keeper.py)."""
    path: Path = settings.FOREBAY_HOME / "logs" / f"engine.{name.replace('/', '-')}.log"
    return path


def _without_secrets(text: str, engine: Engine) -> str:
    try:
        key = configuration_secrets.decrypt_secret(engine.api_key, engine.pool.name, engine.url)
    except Unreadable:
        key = ""
    text = _CONTROL.sub("", text)
    return secret_keys.hidden(text.replace(key, "…") if key else text)


def engine_load(name: str) -> Load | None:
    """Returns None if the kind reports no load, or the engine does not answer with figures."""
    engine = next((each for each in engines() if each.config.id == name), None)
    if engine is None or engine.metrics is None:
        return None
    try:
        return async_to_sync(_request_load)(engine)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, OverflowError):
        return None


async def _request_load(engine: base.Engine) -> Load | None:
    async with EngineSession() as session, asyncio.timeout(PATIENCE_S):
        return await engine.load(session)
