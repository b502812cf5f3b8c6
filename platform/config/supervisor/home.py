"""FOREBAY_HOME: its folders, and the lock that allows one supervisor at a time."""

import fcntl
import os
import secrets
import time
from pathlib import Path

from config.supervisor.terminal import RunProblem
from infrastructure import private_file

_LOOKS, _LOOK_S = 5, 0.05  # a command that asks whether somebody runs has the lock for a moment


class Home:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run"
        self.logs = root / "logs"
        self.secrets = root / "secrets"
        self.model_copies = root / "model-copies"  # settings.MODEL_COPIES
        self.env_file = self.run / "env.json"

    def take(self) -> None:
        """Create the folders and lock them until this process ends, however it ends.

        Raises RunProblem.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.run, self.logs, self.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._lock()
        except OSError as error:
            raise RunProblem(
                f"cannot write to {self.root} ({error.strerror}): "
                "set FOREBAY_HOME to a folder that you can write to"
            ) from None

    def _lock(self) -> None:
        # Never closed: the kernel releases the lock when this process ends.
        lock = os.open(self.run / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not _is_taken(lock):
            holder = os.read(lock, 20).decode() or "unknown"
            os.close(lock)
            raise RunProblem(
                f"Forebay already runs on {self.root} (process {holder}): "
                "stop it, or set FOREBAY_HOME and FOREBAY_PORT to start another"
            )
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())

    def write_private(self, path: Path, text: str) -> None:
        """Write a file whole or not at all, readable for us alone. A power failure may lose it."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)

    def password(self, name: str) -> str:
        """Returns the secret of this name, which is made at the first call and stored."""
        path = self.secrets / name
        if not path.exists() or not path.read_text().strip():  # empty: a power failure, a full disk
            private_file.replace(path, secrets.token_urlsafe(24))
        return path.read_text().strip()


def _is_taken(lock: int) -> bool:
    """Returns whether the lock is ours now."""
    for look in range(_LOOKS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_S if look < _LOOKS - 1 else 0)
        else:
            return True
    return False
