"""The source `registry` of the role engine against a stand-in for the platform's API."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.ansible.playbooks import COLLECTION, VENV

pytestmark = [
    pytest.mark.unit,
    pytest.mark.slow(seconds=60),
    pytest.mark.skipif(
        not (VENV / "bin" / "ansible-playbook").exists() or bool(os.geteuid()),
        reason="needs root and `make .venv-ansible/.ready`",
    ),
]
ROLE = COLLECTION / "roles" / "engine"
ID = "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"
FILES = {"model.safetensors": b"weights", "tokenizer/vocab.json": b"{}"}


class Registry(BaseHTTPRequestHandler):
    asked: list[tuple[str, str | None]]
    sums: dict[str, str]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        place = f"/api/v1/model-versions/{ID}/files/"
        if self.path == place:
            rows = enumerate(self.sums.items(), 1)
            files = [{"id": n, "name": name, "size": 1, "sha256": sha} for n, (name, sha) in rows]
            self._send(json.dumps({"files": files}).encode(), "application/json")
        else:
            number = int(self.path.removeprefix(place).strip("/"))
            self._send(list(FILES.values())[number - 1], "application/octet-stream")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[ThreadingHTTPServer]:
    Registry.asked = []
    Registry.sums = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def brought(folder: Path, server: ThreadingHTTPServer) -> "subprocess.CompletedProcess[str]":
    """Runs the tasks of the source, and writes the sums that the role compares with."""
    (folder / "key").write_text("sk-fb-operator\n")
    (folder / "coming").mkdir()
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "vars": {
            "engine_source": {"kind": "registry", "id": ID},
            "engine_operating_url": f"http://127.0.0.1:{server.server_port}",
            "engine_operating_host": "localhost",
            "engine_operator_key": "",
            "engine_operator_key_file": str(folder / "key"),
            "engine_checksums": {},
        },
        "tasks": [
            {"include_tasks": str(ROLE / "tasks/sources/registry.yml")},
            {
                "copy": {
                    "content": "{{ engine_named_sums | to_json }}",
                    "dest": str(folder / "sums"),
                }
            },
        ],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    program = [str(VENV / "bin/ansible-playbook"), "-i", "localhost,", str(folder / "play.yml")]
    staging = ["-e", f"engine_staging={folder / 'coming'}", "-v"]
    where = {**os.environ, "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*program, *staging], env=where, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_version_comes_with_its_sums_and_the_key_stays_out_of_the_log(
    registry: ThreadingHTTPServer, tmp_path: Path
) -> None:
    run = brought(tmp_path, registry)
    assert run.returncode == 0, run.stdout
    for name, body in FILES.items():
        assert (tmp_path / "coming" / name).read_bytes() == body
    assert json.loads((tmp_path / "sums").read_text()) == Registry.sums
    assert {key for _path, key in Registry.asked} == {"Bearer sk-fb-operator"}
    assert "sk-fb-operator" not in run.stdout + run.stderr
    assert not (tmp_path / "coming.part").exists()


@pytest.mark.soak("name")
@pytest.mark.parametrize("wrong", ["sum", "name"])
def test_another_content_and_a_name_that_leaves_are_refused(
    registry: ThreadingHTTPServer, tmp_path: Path, wrong: str
) -> None:
    if wrong == "sum":
        Registry.sums["model.safetensors"] = "0" * 64
    else:
        Registry.sums = {"../model.safetensors": "0" * 64}
    run = brought(tmp_path, registry)
    assert run.returncode != 0
    assert not list(tmp_path.rglob("model.safetensors"))
