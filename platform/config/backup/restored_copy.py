"""Management commands on a restored database, over the URL of its superuser."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.supervisor.terminal import Problem

_NO_REDIS = "redis://127.0.0.1:9/0"  # nothing is asked of it


def erase_again(url: str) -> None:
    """Apply every tombstone that the restored database lacks. Raises Problem."""
    _manage(url, "apply_tombstones")


def resume_sealing(url: str, checkpoints: Path) -> None:
    """Verify the whole trail and put the restore on record. Raises Problem with the findings."""
    witness = ["--witness", str(checkpoints)] if checkpoints.exists() else []
    _manage(url, "audit_resume", "--after-restore", *witness)


def check(url: str) -> Mapping[str, Any]:
    """Returns findings, the number of events, and more. Raises Problem if it cannot look."""
    answer: Mapping[str, Any] = json.loads(_manage(url, "check_restored"))
    return answer


def _manage(url: str, *words: str) -> str:
    database = url.replace("@/postgres?", "@/forebay?")
    variables = {
        "DATABASE_URL": database,
        "FOREBAY_REQUESTS_DATABASE_URL": database,
        "REDIS_URL": _NO_REDIS,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "config.command", "manage", *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        lines = [*ended.stdout.splitlines(), *ended.stderr.splitlines()] or ["it said nothing"]
        raise Problem(f"{words[0]} on the restored database: {' '.join(lines[-3:])}")
    return ended.stdout
