"""Management commands in a process of their own, which may have a database of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping

from config.supervisor.terminal import RunProblem


def manage(*words: str, variables: Mapping[str, str], text: str = "") -> str:
    """Returns what the command prints; `text` is its input. Raises RunProblem: its last lines."""
    ended = subprocess.run(
        [sys.executable, "-m", "config.command", "manage", *words],
        env={**os.environ, **variables},
        input=text,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        lines = [*ended.stdout.splitlines(), *ended.stderr.splitlines()] or ["no output"]
        raise RunProblem(f"{words[0]}: {' '.join(lines[-3:])}")
    return ended.stdout
