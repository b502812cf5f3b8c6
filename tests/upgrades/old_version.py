"""The code of the last release, in a folder of its own, and a platform that it has started once."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bench.servers.child import Child
from bench.servers.forebay import UNLIMITED
from config.environment import PROJECT
from config.supervisor.ports import find_free
from tests.hosts.hosts import bare
from tests.prepared import BENCH_KEY
from tests.upgrades import released

START_S = 120


class OldVersion:
    """With the libraries of this version: an environment of its own would take minutes."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        command = ["git", "archive", "--format=tar", released.COMMIT]
        found = subprocess.run(command, cwd=PROJECT, capture_output=True)
        if found.returncode:
            pytest.skip(
                f"the code of {released.VERSION} is not in this clone: git fetch --unshallow"
            )
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
            archive.extractall(tree, filter="data")

    def prepare(self, home: Path) -> None:
        """A first start, a tenant without limits whose key is in BENCH_KEY, and an orderly stop."""
        nobody = {"mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
        port = find_free()
        env = {
            **bare(),
            "FOREBAY_HOME": str(home),
            "FOREBAY_PORT": str(port),
            "FOREBAY_GRPC_PORT": "0",
            "FOREBAY_MFA": "optional",
            "FOREBAY_ENGINES": json.dumps(nobody),
            "PYTHONPATH": self._path,
        }
        home.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "config.supervisor"]
        platform = Child(command, home.parent / "old.log", env, self.tree)
        try:
            platform.wait_until_ready(f"http://127.0.0.1:{port}/livez", START_S)
            self._manage(env, "create_tenant", "bench", *UNLIMITED, "--json")
            answer = self._manage(env, "create_api_key", "bench", "--name", "load", "--json")
        finally:
            platform.stop(30)
        (home / BENCH_KEY).write_text(json.loads(answer)["api_key"])

    def migrate(self, database_url: str, home: Path) -> None:
        """Makes the tables of that release in an empty database."""
        env = {
            **bare(),
            "FOREBAY_HOME": str(home),
            "DATABASE_URL": database_url,
            "REDIS_URL": os.environ["REDIS_URL"],
            "PYTHONPATH": self._path,
        }
        self._manage(env, "migrate", "--noinput")

    @property
    def _path(self) -> str:
        return os.pathsep.join(map(str, (self.tree, self.tree / "platform")))

    def _manage(self, env: dict[str, str], *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=self.tree, env=env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
