"""The Python environment of the trainer, beside that of Forebay: PyTorch and what trains with it.

It is made in a folder named after its locked packages, which is resumed after a failure, and comes
into use in one step at the end: `FOREBAY_HOME/trainer` becomes a link to it. So an environment that
is broken off is never used, and the one before works until then.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from config.environment import PROJECT

CPU, CUDA = "cpu", "cuda"
LOCKS = PROJECT / "requirements"
READY = "ready.json"  # written last
INDEX = "https://download.pytorch.org/whl/cpu"
MODULES = (
    *("torch", "transformers", "peft", "accelerate"),
    *("gguf", "safetensors", "tokenizers", "datasketch", "sklearn", "numpy"),
)
_LOOK = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.import_module(name).__version__
    except ImportError:
        found[name] = ""
    except AttributeError:
        found[name] = "there"
torch = sys.modules.get("torch")
cuda = getattr(getattr(torch, "version", None), "cuda", None)
usable = bool(cuda and torch.cuda.is_available())
print(json.dumps({"packages": found, "cuda": cuda, "gpu": usable}))
"""


@dataclass(frozen=True, slots=True)
class Need:
    """The download, disk and time of a build of PyTorch, with all that goes with it."""

    download_mb: int
    disk_mb: int
    minutes: int


NEEDS = {CPU: Need(500, 2_000, 5), CUDA: Need(3_500, 9_000, 20)}


class InstallFailed(Exception):
    """One line for a person: what failed, and what to do."""


def fitting_build() -> str:
    """Returns CUDA where this machine has NVIDIA's driver, else CPU."""
    return CUDA if shutil.which("nvidia-smi") else CPU


@dataclass(frozen=True, slots=True)
class TrainerEnvironment:
    """The environment of a home folder, in one of PyTorch's builds."""

    home: Path
    build: str

    @property
    def link(self) -> Path:
        """Returns the address under which jobs use it."""
        return self.home / "trainer"

    @property
    def folder(self) -> Path:
        return self.home / "trainer-environments" / f"{self.build}-{self._digest()}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        """Returns whether it is whole and in use."""
        in_use = self.link.resolve() == self.folder.resolve()
        return (
            in_use
            and (self.folder / READY).is_file()
            and all(look(self.python)["packages"].values())
        )

    @property
    def missing_mb(self) -> int:
        """Returns how many megabytes the disk lacks; 0 if there is room."""
        self.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.home).free + _size(self.folder)
        return max(0, NEEDS[self.build].disk_mb - free // 1_000_000)

    def install(self) -> dict[str, Any]:
        """Make it, or continue one that was broken off. Returns what is there.

        Raises InstallFailed.
        """
        (self.folder / READY).unlink(missing_ok=True)
        if not self.python.exists():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            _run([sys.executable, "-m", "venv", "--clear", str(self.folder)], "venv")
        self._install_packages()
        report = look(self.python)
        if absent := [name for name, version in report["packages"].items() if not version]:
            raise InstallFailed(f"{', '.join(absent)} cannot be imported: run this again")
        (self.folder / READY).write_text(json.dumps(report))
        self._put_into_use()
        return report

    def _install_packages(self) -> None:
        locked = ["--require-hashes", "-r", str(LOCKS / "train.txt")]
        _run(self._pip(*locked), "train.txt")
        if self.build == CUDA:
            locked = ["--require-hashes", "-r", str(LOCKS / "torch.txt")]
            return _run(self._pip(*locked), "torch.txt")
        # PyPI has no build for the CPU: it has no hash in the lock, but a version.
        version = (LOCKS / "torch.in").read_text().strip()
        hint = f"set PIP_EXTRA_INDEX_URL={INDEX}, or PIP_FIND_LINKS to a folder with the wheel"
        return _run(self._pip(f"{version}+cpu"), version, hint)

    def _pip(self, *arguments: str) -> list[str]:
        quiet = ["--disable-pip-version-check", "--no-input", "install", "--no-deps"]
        return [str(self.python), "-m", "pip", *quiet, *arguments]

    def _put_into_use(self) -> None:
        """Let the link point here, and remove what it pointed to before."""
        before = self.link.resolve() if self.link.is_symlink() else None
        if self.link.is_dir() and not before:
            raise InstallFailed(f"{self.link} is a folder of somebody else's: move it away")
        fresh = self.link.with_name("trainer.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.folder)
        os.replace(fresh, self.link)
        if before and before != self.folder.resolve() and before.parent == self.folder.parent:
            shutil.rmtree(before, ignore_errors=True)

    def _digest(self) -> str:
        """Returns a name for the locked packages and this Python: either makes another folder."""
        names = ("train.txt", "torch.txt", "torch.in")
        text = b"".join((LOCKS / name).read_bytes() for name in names)
        return sha256(text + sys.version.encode()).hexdigest()[:12]


def look(python: Path) -> dict[str, Any]:
    """Returns the packages of an environment with their versions, "" for absent ones."""
    command = [str(python), "-I", "-c", _LOOK, *MODULES]
    ended = subprocess.run(command, capture_output=True, text=True, env=_variables(os.environ))
    if ended.returncode:
        return {"packages": dict.fromkeys(MODULES, ""), "cuda": None, "gpu": False}
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def _run(command: list[str], what: str, hint: str = "look at the lines above") -> None:
    """Raises InstallFailed."""
    try:
        subprocess.run(command, check=True, env=_variables(os.environ))
    except (OSError, subprocess.CalledProcessError):
        raise InstallFailed(f"{what} could not be installed: {hint}, and run this again") from None


def _variables(own: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without Forebay's variables: packages need no secrets."""
    return {name: value for name, value in own.items() if not _is_ours(name)}


def _is_ours(name: str) -> bool:
    return name.startswith("FOREBAY_") or name in ("DATABASE_URL", "REDIS_URL", "PYTHONPATH")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
