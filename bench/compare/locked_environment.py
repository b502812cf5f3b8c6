"""Virtual environments of what is measured beside Forebay, from hash-locked lists."""

import hashlib
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.servers.child import REPOSITORY


@dataclass(frozen=True, slots=True)
class LockedEnvironment:
    """bench/.venv-NAME with what requirements/NAME.txt lists."""

    name: str
    wheels: str = ":none:"  # packages never to be built from source

    @property
    def folder(self) -> Path:
        return REPOSITORY / "bench" / f".venv-{self.name}"

    @property
    def lock(self) -> Path:
        return REPOSITORY / "requirements" / f"{self.name}.txt"

    def install(self) -> Path:
        """Makes the environment, once per lock; returns its bin folder. CalledProcessError."""
        digest = hashlib.sha256(self.lock.read_bytes()).hexdigest()
        stamp = self.folder / "lock.sha256"
        if not stamp.exists() or stamp.read_text() != digest:
            print(f"bench: installing {self.name} into bench/.venv-{self.name}", file=sys.stderr)
            venv.create(self.folder, with_pip=True, clear=True)
            pip = [str(self.folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            pip += ["--only-binary", self.wheels, "--require-hashes", "-r", str(self.lock)]
            subprocess.run(pip, check=True, env=environment())
            stamp.write_text(digest)
        return self.folder / "bin"

    def version(self, package: str) -> str:
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        python = str(self.folder / "bin" / "python")
        done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
        return done.stdout.strip()


def environment() -> dict[str, str]:
    """Ours, in which Python may keep what it compiled."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
