"""The trainer's process on this host: started, asked to stop, killed with all its children."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

_KEEPER = Path(__file__).with_name("keeper.py")
# Nothing else of the worker's environment: it has secrets.
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR")


class TrainerProcess:
    """One run of `python -m trainer ORDER.json`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, order: Path, folder: Path, threads: int) -> "TrainerProcess":
        """Start it in `folder`, with a log there. Raises OSError."""
        with (folder / "trainer.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_KEEPER),
                str(settings.TRAINER_PYTHON),
                "-m",
                "trainer",
                str(order),
                cwd=folder,
                env=_environment(os.environ, threads),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return cls(process)

    @property
    def code(self) -> int | None:
        """Returns the exit code, None while it runs; over 128 after a signal."""
        code = self._process.returncode
        return code if code is None or code >= 0 else 128 - code

    def stop(self) -> None:
        """Ask it to pause: it writes a checkpoint and ends."""
        if self._process.stdin and self.code is None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(b"stop\n")

    async def kill(self) -> None:
        """Kill it with all its children; one that has ended may have left some."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


def _environment(own: Mapping[str, str], threads: int) -> dict[str, str]:
    kept = {name: own[name] for name in _KEPT if name in own}
    return kept | {
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
