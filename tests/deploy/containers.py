"""podman, as this machine has it: FOREBAY_TEST_PODMAN, and the two beside it, say which words it
needs where no image registry, no overlay and no cgroups are to be had (docs/testing.md).
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from config.environment import PROJECT

BASE = "docker.io/library/debian:bookworm-slim"
_PODMAN = shlex.split(os.environ.get("FOREBAY_TEST_PODMAN", "podman"))
_BUILD = shlex.split(os.environ.get("FOREBAY_TEST_PODMAN_BUILD", ""))
_RUN = shlex.split(os.environ.get("FOREBAY_TEST_PODMAN_RUN", ""))
needed = pytest.mark.skipif(
    not (os.environ.get("FOREBAY_TEST_CONTAINERS") and shutil.which(_PODMAN[0])),
    reason="builds an image: FOREBAY_TEST_CONTAINERS=1 and podman (make soak)",
)


def podman(*arguments: str, check: bool = True, patience: float = 900) -> str:
    """What it said. Its error output goes to ours."""
    told = subprocess.run(
        [*_PODMAN, *arguments], stdout=subprocess.PIPE, text=True, check=check, timeout=patience
    )
    return told.stdout.strip()


def build(tag: str, folder: Path) -> None:
    if subprocess.run([*_PODMAN, "image", "exists", BASE]).returncode:
        _make_base(folder)
    podman("build", "--format", "docker", "--pull=missing", *_BUILD, "-t", tag, str(PROJECT))


def _make_base(folder: Path) -> None:
    """From Debian's packages, where no registry is."""
    root = folder / "base"
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root], check=True)
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run([*_PODMAN, "import", "-", BASE], stdin=packed.stdout, check=True)
    shutil.rmtree(root)


def run(name: str, tag: str, *options: str, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """In the foreground of a process of ours, as nobody special, with a root that is read-only."""
    hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    rest = ["--name", name, *hardened, *_RUN, *options, tag, *command]
    return subprocess.Popen(
        [*_PODMAN, "run", "--rm", *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
