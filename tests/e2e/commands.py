"""`manage.py` for many commands in a row: starting it takes longer than most of them do.

`python -m tests.e2e.commands` reads the arguments of one command after the other, a JSON list a
line, and answers each with a line: [exit code, what it printed].
"""

import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stdout

from config.environment import PROJECT
from tests.key_watches import stop_watching


class Commands:
    """Starts with the first command."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: str) -> str:
        """What the command printed; raises CalledProcessError if it fails."""
        if self._process is None:
            self._process = self._started()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        code, printed = json.loads(self._process.stdout.readline())
        if code:
            error = subprocess.CalledProcessError(code, ["manage.py", *arguments], printed)
            error.add_note(printed[-3000:])
            raise error
        return str(printed)

    def end(self) -> None:
        if self._process:
            self._process.communicate()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.commands"],
            cwd=PROJECT,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def _run(arguments: list[str]) -> tuple[int, str]:
    from django.core.management import execute_from_command_line

    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            execute_from_command_line(["manage.py", *arguments])
    except SystemExit as end:
        return int(end.code or 0), printed.getvalue()
    except Exception:  # the next command has a process to run in all the same
        return 1, printed.getvalue() + traceback.format_exc()
    finally:
        stop_watching()  # a process of its own would have forgotten every key
    return 0, printed.getvalue()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)
