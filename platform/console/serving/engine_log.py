"""What the server of an engine wrote last, where this machine has it. No keys, no colours."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from audit.keys import configuration
from audit.keys.cipher import Unreadable
from inference.models import Engine
from tenants import secret_keys

LINES, BYTES = 200, 64 * 1024
LONGEST_LINE = 500
# Colours and other orders to a terminal, and what no page can show.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class LogTail:
    lines: list[str]
    mark: str  # of this state of the file: another one, another text

    @property
    def count(self) -> int:
        return LINES


def log_tail(engine: Engine) -> LogTail | None:
    """None for an engine that has no server of ours."""
    if not engine.launched:
        return None
    try:
        with _file(engine.name).open("rb") as file:
            state = os.fstat(file.fileno())
            file.seek(max(0, state.st_size - BYTES))
            text = file.read(BYTES).decode(errors="replace")
    except FileNotFoundError:
        return LogTail([], "0")
    whole = text if state.st_size <= BYTES else text.partition("\n")[2]
    lines = [_shown(line) for line in _without_secrets(whole, engine).split("\n")]
    mark = f"{state.st_ino}-{state.st_size}-{state.st_mtime_ns}"
    return LogTail([line for line in lines if line.strip()][-LINES:], mark)


def _shown(line: str) -> str:
    """Of a bar of progress its last state."""
    return line.rstrip("\r").rpartition("\r")[2][:LONGEST_LINE]


def _file(name: str) -> Path:
    """As the supervisor names it (config/supervisor/keeper.py)."""
    found: Path = settings.FOREBAY_HOME / "logs" / f"engine.{name.replace('/', '-')}.log"
    return found


def _without_secrets(text: str, engine: Engine) -> str:
    try:
        key = configuration.decrypt_secret(engine.api_key, engine.pool.name, engine.url)
    except Unreadable:
        key = ""
    text = _CONTROL.sub("", text)
    return secret_keys.hidden(text.replace(key, "…") if key else text)
