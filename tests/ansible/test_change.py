"""The role engine on this machine, with stand-ins for Compose and the platform: what goes wrong.

Each engine is a port of one server here. It answers as the version says that "Compose" started.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.ansible.playbooks import Ended, Playbooks

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_ANSIBLE") or bool(os.geteuid()),
        reason="make test-ansible runs it",
    ),
    pytest.mark.timeout(1800),
    pytest.mark.slow(seconds=600),
]
PLATFORM = Path(__file__).with_name("forebay_program.py")
COMPOSE = """#!/bin/sh
# `compose --project-name NAME --env-file FILE …`: notes the model that is served now.
case $2 in *[!a-z0-9_-]*) echo "invalid project name: $2" >&2; exit 1 ;; esac
case "$*" in *" down") rm -f @HERE@/$2; exit ;; esac
. "$4" && echo "$MODEL_FOLDER" > @HERE@/$2
"""
NAMES = ("Gpu-1.example", "Gpu-2.example")


class Handler(BaseHTTPRequestHandler):
    served: Path

    def do_GET(self) -> None:
        self._send({})

    def do_POST(self) -> None:
        model = Path(self.served.read_text().strip()) / "model.json"
        self._send({"choices": [{"message": json.loads(model.read_text())}]})

    def _send(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Hosts:
    """Two engines of one pool that serve v1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.playbooks = Playbooks(folder, folder)
        self.servers = [self._server(name) for name in NAMES]
        for name, server in zip(NAMES, self.servers, strict=True):
            variables = {"ansible_connection": "local", "engine_port": server.server_port}
            self.playbooks.hosts[name] = variables
        self.playbooks.variables = self._variables()
        self.platform(**{name: {} for name in NAMES})
        program = folder / "compose"
        program.write_text(COMPOSE.replace("@HERE@", str(folder)))
        program.chmod(0o755)
        play = {"hosts": "all", "gather_facts": False, "serial": 2, "max_fail_percentage": 0}
        roles = {"name": "Change", "roles": ["forebay.platform.engine"]}
        (folder / "play.yml").write_text(yaml.safe_dump([play | roles]))
        for name in NAMES:
            self._serve_v1(name)

    def run(self, *options: str, **variables: Any) -> Ended:
        return self.playbooks.run(str(self.folder / "play.yml"), *options, **variables)

    def platform(self, **engines: dict[str, Any]) -> None:
        common = {"pool": "tiny", "model": "tiny", "kind": "vllm", "from_file": False}
        state = {"state": "ready", "draining": False, "resting": False}
        state |= {"options": {"version": "v1"}}
        rows = {name: common | state | {"name": name} | row for name, row in engines.items()}
        self.set(engines=rows)

    def set(self, **changes: Any) -> None:
        file = self.folder / "platform.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(before | changes))

    def states(self) -> list[str]:
        rows = json.loads((self.folder / "platform.json").read_text())["engines"]
        return [rows[name]["state"] for name in NAMES]

    def calls(self, name: str) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.split()[1] for line in lines if line.split()[2] == name]

    def add(self, version: str, **messages: dict[str, str]) -> dict[str, Any]:
        """Put a version where the role looks for it, with a message of its own for each host."""
        for name in NAMES:
            message = messages.get(name.partition(".")[0].replace("-", "_"), {"content": "I am"})
            digest = self._write_source(name, json.dumps(message))
            self.playbooks.hosts[name]["engine_checksums"] = {"model.json": digest}
        source = f"{self.folder}/source/{{{{ inventory_hostname }}}}"
        return {"engine_version": version, "engine_source": {"kind": "folder", "path": source}}

    def served(self) -> list[str]:
        links = [os.readlink(self.engine(name) / "current") for name in NAMES]
        return [link.removeprefix("releases/").partition("-")[0] for link in links]

    def engine(self, name: str) -> Path:
        return self.folder / "engines" / name

    def models(self, name: str) -> Path:
        return self.folder / "models" / name / "tiny"

    def _write_source(self, name: str, text: str) -> str:
        """Returns its SHA-256."""
        source = self.folder / "source" / name
        source.mkdir(parents=True, exist_ok=True)
        (source / "model.json").write_text(text)
        return hashlib.sha256(text.encode()).hexdigest()

    def _serve_v1(self, name: str) -> None:
        version, release = self.models(name) / "v1", self.engine(name) / "releases" / "v1-0"
        version.mkdir(parents=True)
        release.mkdir(parents=True)
        (version / "model.json").write_text(json.dumps({"content": "I am one"}))
        (release / "model").symlink_to(version)
        (release / "compose.yaml").write_text("services: {}\n")
        (release / "start").write_text(f"MODEL_FOLDER={version}\n")
        (self.engine(name) / "current").symlink_to("releases/v1-0")

    def _server(self, name: str) -> ThreadingHTTPServer:
        project = f"forebay-{name}".lower().replace(".", "-")
        handler = type("Engine", (Handler,), {"served": self.folder / project})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _variables(self) -> dict[str, Any]:
        (self.folder / "compose.yaml.j2").write_text("services: {}\n")
        return {
            "ansible_python_interpreter": sys.executable,
            "engine_model": "tiny",
            "engine_models_folder": f"{self.folder}/models/{{{{ inventory_hostname }}}}",
            "engine_engines_folder": f"{self.folder}/engines",
            "engine_runtime": "compose",
            "engine_compose_file": f"{self.folder}/compose.yaml.j2",
            "engine_compose_program": [f"{self.folder}/compose"],
            "engine_load_within_s": 2,
            "engine_answer": "I am",
            "engine_others_ready": 0,
            "engine_operating_host": "localhost",
            "engine_operating_program": [sys.executable, str(PLATFORM), str(self.folder)],
        }


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    yield made
    for server in made.servers:
        server.shutdown()
        server.server_close()


def test_a_host_that_goes_back_leaves_the_others_of_its_batch_whole(hosts: Hosts) -> None:
    """The good one says nothing yet, but thinks; the bad one says nothing at all."""
    version = hosts.add(
        "v2", Gpu_1={"content": ""}, Gpu_2={"content": "", "reasoning_content": "I am thinking"}
    )
    ended = hosts.run(**version)
    assert ended.code != 0
    assert "Gpu-1.example serves v1-0 as before" in ended.output
    assert hosts.served() == ["v1", "v2"]
    assert hosts.states() == ["ready", "ready"]
    for name in NAMES:
        assert sorted(os.listdir(hosts.engine(name))) == ["current", "releases"]
    assert os.listdir(hosts.engine(NAMES[0]) / "releases") == ["v1-0"]
    assert hosts.calls(NAMES[0]) == ["drain", "set", "resume"]
    again = hosts.run("--limit", NAMES[1], **version)
    assert (again.code, again.changed) == (0, [])


def test_an_engine_that_the_platform_does_not_find_ready_goes_back(hosts: Hosts) -> None:
    hosts.set(never_ready=[NAMES[0]])
    version = hosts.add("v2")
    ended = hosts.run("--limit", NAMES[0], **version, engine_ready_within_s=2)
    assert ended.code != 0
    assert hosts.served() == ["v1", "v1"]
    assert hosts.calls(NAMES[0])[:4] == ["drain", "set", "resume", "drain"]


def test_an_engine_of_another_pool_is_refused_before_it_is_touched(hosts: Hosts) -> None:
    """It is running requests: it must not be started anew as if nobody knew it."""
    hosts.platform(**{NAMES[0]: {"pool": "elsewhere"}, NAMES[1]: {}})
    ended = hosts.run("--limit", NAMES[0], **hosts.add("v2"))
    assert ended.code != 0
    assert "in the pool elsewhere of the model tiny" in ended.output
    assert hosts.served() == ["v1", "v1"]
    assert not (hosts.folder / "calls").exists()


def test_of_two_runs_that_drain_at_once_one_gives_its_engine_back(hosts: Hosts) -> None:
    hosts.set(drains_with=[NAMES[1]])
    ended = hosts.run("--limit", NAMES[0], **hosts.add("v2"), engine_others_ready=1)
    assert ended.code != 0
    assert "could not be taken out, and runs as before" in ended.output
    assert "only 0 other engines are ready" in ended.output
    assert hosts.served() == ["v1", "v1"]
    assert hosts.states()[0] == "ready"


def test_what_a_mended_source_no_longer_has_is_not_refused_again(hosts: Hosts) -> None:
    version = hosts.add("v2") | {"engine_on_platform": False}
    stranger = hosts.folder / "source" / NAMES[0] / "pickle.bin"
    stranger.write_text("run me")
    ended = hosts.run("--limit", NAMES[0], **version)
    assert ended.code != 0
    assert "pickle.bin" in ended.output
    stranger.unlink()
    (hosts.models(NAMES[0]) / "by-hand").mkdir()
    assert hosts.run("--limit", NAMES[0], **version).code == 0
    assert hosts.served() == ["v2", "v1"]
    assert {"v2", "v1", "by-hand"} <= set(os.listdir(hosts.models(NAMES[0])))


def test_a_link_in_a_repository_reaches_no_file_of_the_host(hosts: Hosts) -> None:
    """Nobody's sum vouches for it, and making the version readable must not follow it."""
    secret = hosts.folder / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    repository = hosts.folder / "repository"
    commit = "git -c user.name=a -c user.email=a@a commit -qm a && git tag v2"
    script = (
        f"git init -q {repository} && cd {repository} && ln -s {secret} .gitlink && "
        f"echo '{{}}' > model.json && git add -A && {commit}"
    )
    subprocess.run(script, shell=True, check=True)
    source = {"kind": "git", "repository": f"file://{repository}", "lfs": False}
    limits = ("--limit", NAMES[0])
    ended = hosts.run(*limits, engine_version="v2", engine_source=source, engine_on_platform=False)
    assert ended.code != 0
    assert ".gitlink is no file" in ended.output
    assert secret.stat().st_mode & 0o777 == 0o600
    assert hosts.served() == ["v1", "v1"]
