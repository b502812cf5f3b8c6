"""`forebay trainer`: the trainer's Python environment, which the platform never imports."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from config import environment

_USAGE = "usage: forebay trainer install [FOLDER] | forebay trainer check"
_INSTALLER = environment.PROJECT / "requirements" / "install-train.sh"
_TRIES = "import torch, transformers, peft, trainer; print('torch', torch.__version__)"


def trainer(arguments: Sequence[str]) -> int:
    match list(arguments):
        case ["install", *rest] if len(rest) < 2:
            return _install(Path(rest[0]) if rest else environment.HOME / "trainer")
        case ["check"]:
            return _check()
    print(_USAGE, file=sys.stderr)
    return 2


def _install(folder: Path) -> int:
    """Say what it takes, and install PyTorch and the libraries of the trainer into `folder`."""
    if not _INSTALLER.exists():
        print(f"forebay: {_INSTALLER} is missing: install from a checkout", file=sys.stderr)
        return 1
    folder.parent.mkdir(parents=True, exist_ok=True)
    code = subprocess.run(["sh", str(_INSTALLER), sys.executable, str(folder)], check=False)
    if code.returncode == 0:
        print(f"FOREBAY_TRAINER_PYTHON={folder / 'bin' / 'python'}")
    return code.returncode


def _check() -> int:
    """Say which Python the workers of this host start, and whether it has all that trains."""
    python = os.environ.get("FOREBAY_TRAINER_PYTHON") or environment.HOME / "trainer/bin/python"
    if not Path(python).exists():
        print(f"forebay: there is no {python}: forebay trainer install", file=sys.stderr)
        return 1
    known = {"PYTHONPATH": str(environment.PROJECT), "PATH": os.environ.get("PATH", "")}
    ends = subprocess.run([python, "-c", _TRIES], check=False, env=known)
    return 0 if ends.returncode == 0 else 1
