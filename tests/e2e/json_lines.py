"""The logs of a platform that writes JSON: of its own processes, not of PostgreSQL and the like."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OF_OTHERS = ("postgres", "valkey", "mark")  # test_canaries_at_rest makes a mark
ALWAYS = {"time", "level", "logger", "message", "process", "pid"}


def written(home: Path) -> Iterator[tuple[str, str]]:
    """The name of each log, and a line."""
    logs = [log for log in (home / "logs").glob("*.log") if log.stem not in OF_OTHERS]
    for log in [*logs, home.parent / "forebay.log"]:
        for line in log.read_text().splitlines():
            yield log.stem, line


def odd(home: Path) -> list[str]:
    """What is no object with all that a line has."""
    return [f"{log}: {line[:200]}" for log, line in written(home) if not _is_one(line)]


def lines(home: Path, process: str) -> list[dict[str, Any]]:
    return [json.loads(line) for log, line in written(home) if log == process]


def _is_one(line: str) -> bool:
    try:
        return bool(json.loads(line).keys() >= ALWAYS)
    except (ValueError, AttributeError):
        return False
