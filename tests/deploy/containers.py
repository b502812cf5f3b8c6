"""podman, as this machine has it: FOREBAY_TEST_PODMAN, and the two beside it, say which words it
needs where no image registry, no overlay and no cgroups are to be had (tests/README.md).
"""

import os
import resource
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.servers.child import Child
from config.environment import PROJECT

BASE = "docker.io/library/debian:bookworm-slim"
_PODMAN = shlex.split(os.environ.get("FOREBAY_TEST_PODMAN", "podman"))
_BUILD = shlex.split(os.environ.get("FOREBAY_TEST_PODMAN_BUILD", ""))
_NOT_IN_SLIM = (
    *(f"usr/share/{name}" for name in ("doc", "man", "info", "locale")),
    "var/cache/apt",
    "var/lib/apt/lists",
)
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


def is_there(tag: str) -> bool:
    return not subprocess.run([*_PODMAN, "image", "exists", tag]).returncode


def build_ours(tag: str, folder: Path) -> None:
    """The Dockerfile of the project, on Debian's slim image or what stands in for it."""
    if not is_there(BASE):
        make_base(BASE, "bookworm", folder)
    build(tag, PROJECT, "--pull=missing")


def build(tag: str, context: Path, *options: str) -> None:
    podman("build", "--format", "docker", *options, *_BUILD, "-t", tag, str(context))


def make_base(tag: str, release: str, folder: Path, *packages: str) -> None:
    """From Debian's packages, where no registry is; without what Debian's slim images lack."""
    root = folder / "base"
    include = [f"--include={','.join(packages)}"] if packages else []
    subprocess.run(["debootstrap", "--variant=minbase", *include, release, root], check=True)
    left_out = [f"--exclude=./{each}/*" for each in _NOT_IN_SLIM]
    with subprocess.Popen(
        ["tar", "-C", root, *left_out, "-c", "."], stdout=subprocess.PIPE
    ) as packed:
        subprocess.run([*_PODMAN, "import", "-", tag], stdin=packed.stdout, check=True)
    shutil.rmtree(root)


def server(socket: Path, log: Path) -> Child:
    """podman's answer to Docker's API, which `docker-compose` asks."""
    told = socket.with_suffix(".conf")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    told.write_text(f'[containers]\ndefault_ulimits = ["nofile={most}:{most}"]\n')
    command = [*_PODMAN, "system", "service", "--time", "0", f"unix://{socket}"]
    return Child(command, log, {**os.environ, "CONTAINERS_CONF_OVERRIDE": str(told)})


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
