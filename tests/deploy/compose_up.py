"""`docker-compose` with deploy/compose as it is shipped, in a copy of that folder, on podman."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers.child import Child
from config.environment import PROJECT
from tests.deploy import containers
from tests.deploy.stand_ins import IMAGES
from tests.e2e.ask import eventually

PROGRAM = shutil.which("docker-compose")
ADDRESS = "127.0.0.7"  # of this host alone, and likely nobody else's
URL = f"http://{ADDRESS}:8000"
NAME = "forebay-under-test"  # beside a Forebay that somebody uses
# What a machine without a registry, without GPUs and with little to give has in place of it.
HERE = f"""
services:
  vllm:
    volumes: ["{PROJECT}/bench:/opt/bench/bench:ro"]
    ulimits: !reset null
    deploy: {{resources: {{reservations: !reset null}}}}
    image: {IMAGES["vllm"]}
""" + "".join(f"  {name}: {{image: {tag}}}\n" for name, tag in IMAGES.items() if name != "vllm")


class Compose:
    def __init__(self, folder: Path, image: str) -> None:
        self._socket = folder / "podman.sock"
        self._server: Child = containers.server(self._socket, folder / "podman.log")
        eventually(self._socket.exists, 60)
        shutil.copytree(PROJECT / "deploy", folder / "deploy")
        self.folder = folder / "deploy" / "compose"
        (self.folder / "here.yaml").write_text(HERE)
        (folder / "models" / "your-model").mkdir(parents=True)
        subprocess.run(["sh", str(self.folder / "make_secrets.sh")], check=True)
        self.told = {
            "FOREBAY_IMAGE": image,
            "FOREBAY_PUBLIC_URL": URL,
            "PUBLISH": ADDRESS,
            "MODELS": str(folder / "models"),
            "COMPOSE_PROJECT_NAME": NAME,
            "COMPOSE_FILE": "compose.yaml:here.yaml",
            "COMPOSE_PROFILES": "gpu",
            "DOCKER_HOST": f"unix://{self._socket}",
        }

    def ask(self, *words: str, without: str = "") -> subprocess.CompletedProcess[str]:
        assert PROGRAM
        told = {name: value for name, value in self.told.items() if name != without}
        return subprocess.run(
            [PROGRAM, *words],
            cwd=self.folder,
            env=os.environ | told,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def __call__(self, *words: str) -> str:
        found = self.ask(*words)
        assert found.returncode == 0, f"{words}: {found.stderr[-3000:]}{self._said()}"
        return found.stdout

    def _said(self) -> str:
        return self.ask("logs", "--tail", "20").stdout[-6000:]

    def up(self, *services: str) -> None:
        with _health_checks():
            self("up", "-d", "--pull", "never", *services)

    def down(self) -> None:
        self.ask("down", "--volumes", "--timeout", "20")
        self._server.stop(30)


@contextmanager
def _health_checks() -> Iterator[None]:
    """podman has systemd run them, where there is one: here a thread does, until they are well."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(1):
            for name in _not_yet_well():
                containers.podman("healthcheck", "run", name, check=False)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(120)


def _not_yet_well() -> list[str]:
    format_ = "{{.Names}} {{.Status}}"
    lines = containers.podman("ps", "--format", format_, check=False).splitlines()
    ours = [line for line in lines if line.startswith(NAME)]
    return [line.split()[0] for line in ours if "(healthy)" not in line]


def is_well(name: str) -> bool:
    """By the health check that compose.yaml gives it."""
    containers.podman("healthcheck", "run", name, check=False)
    return "(healthy)" in containers.podman(
        "ps", "--filter", f"name={name}", "--format={{.Status}}"
    )
