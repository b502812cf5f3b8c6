"""The note on disk of what a drill has broken: it is undone even after the drill was killed."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infrastructure import private_file

_LONGEST_S = 60.0


class Undoing:
    """The file that lists commands. It is there before anything is broken."""

    def __init__(self, home: Path) -> None:
        self._file = home / "drill" / "undo.json"

    @property
    def is_open(self) -> bool:
        return self._file.exists()

    def commands(self) -> list[list[str]]:
        try:
            listed: list[list[str]] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return []
        return listed

    def note(self, commands: Sequence[Sequence[str]]) -> None:
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        private_file.replace(self._file, json.dumps([list(each) for each in commands]))

    def undo(self) -> list[str]:
        """Run all of them, each twice if it fails. Returns what failed; the file stays then."""
        tried = [(command, run(command) and run(command)) for command in self.commands()]
        failures = [f"{' '.join(command)}: {problem}" for command, problem in tried if problem]
        if not failures:
            self._file.unlink(missing_ok=True)
        return failures


def run(command: Sequence[str]) -> str:
    """Returns what went wrong, "" if nothing did.

    The command has neither our input, which may be an answer to us, nor our terminal, whose Ctrl-C
    would end it half done.
    """
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    if ended.returncode == 0:
        return ""
    lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
    return lines[-1][:200]
