"""The trainer's process on this host: started, asked to stop, killed with all its children."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

_KEEPER = Path(__file__).with_name("keeper.py")
# Nothing else of the worker's environment: it has secrets.
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR")


class TrainerProcess:
    """One run of `python -m trainer ORDER.json`, by a keeper that leads its process group."""

    def __init__(self, order: Path, folder: Path, threads: int, gpus: Sequence[int | str]) -> None:
        """Start it in `folder`, with a log there. Without `gpus` it sees those of the worker.

        Raises OSError.
        """
        trainer = [str(settings.TRAINER_PYTHON), "-m", "trainer", str(order)]
        with (folder / "trainer.log").open("ab") as log:
            # Not asyncio's: its watching of children depends on the loop and the thread.
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_KEEPER), *trainer],
                cwd=folder,
                env=_environment(os.environ, threads, gpus),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """Returns the exit code, None while it runs; over 128 after a signal."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def stop(self) -> None:
        """Ask it to pause: it writes a checkpoint and ends."""
        if self._process.stdin:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(b"stop\n")
                self._process.stdin.flush()

    async def kill(self) -> None:
        """Kill it with all its children; one that has ended may have left some."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def _environment(own: Mapping[str, str], threads: int, gpus: Sequence[int | str]) -> dict[str, str]:
    inherited = {name: own[name] for name in _KEPT if name in own}
    if gpus:
        inherited["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    return inherited | {
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
