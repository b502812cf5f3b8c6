"""The role engine against one machine, without a platform: versions come, serve, and go back."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ansible.machines import Machine, machines
from tests.ansible.playbooks import COLLECTION, Playbooks
from tests.ansible.versions import PORT, PROGRAM, Versions

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_ANSIBLE"), reason="make test-ansible runs it"
    ),
    pytest.mark.timeout(1800),
    pytest.mark.slow(seconds=1800),
]
MODELS = "/srv/forebay/models/tiny"
ENGINE = "/srv/forebay/engines/gpu-1"
TASKS_APART = int(os.environ.get("FOREBAY_TEST_ANSIBLE_TASKS_APART", "3"))
PLAYBOOK = "forebay.platform.model"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("engine")
    with machines(folder, 1) as (only,):
        yield only


@pytest.fixture
def versions(machine: Machine) -> Versions:
    machine.run(f"rm -rf {MODELS} {ENGINE} /models; systemctl stop forebay-engine-gpu-1 || true")
    return Versions(machine)


@pytest.fixture
def playbooks(machine: Machine, tmp_path: Path) -> Playbooks:
    made = Playbooks(tmp_path, machine.folder.parent / "key")
    made.add("gpu-1", machine, "forebay_engines")
    machine.write("/opt/engine_program.py", PROGRAM.read_text())
    made.variables = {
        "engine_model": "tiny",
        "engine_kind": "openai",
        "engine_port": PORT,
        "engine_health_path": "/health",
        "engine_on_platform": False,
        "engine_load_within_s": 10,
        "engine_command": [
            "python3",
            "/opt/engine_program.py",
            "{{ engine_model_path }}",
            "tiny",
            str(PORT),
        ],
    }
    return made


def answer(machine: Machine) -> str:
    url = f"http://{machine.address}:{PORT}/v1/chat/completions"
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Who are you?"}]}
    text: str = httpx.post(url, json=body).json()["choices"][0]["message"]["content"]
    return text


def current(machine: Machine) -> str:
    return machine.run(f"readlink {ENGINE}/current").strip()


def test_a_version_comes_serves_and_changes_nothing_again(
    machine: Machine, versions: Versions, playbooks: Playbooks
) -> None:
    first = versions.add("v1", "I am one")
    would = playbooks.succeed(PLAYBOOK, "--check", "--diff", **first)
    assert would.count("gpu-1", "changed") > 0
    assert machine.run(f"ls {ENGINE} 2>&1 || true").startswith("ls: cannot access")
    playbooks.succeed(PLAYBOOK, **first)
    assert answer(machine) == "I am one"
    again = playbooks.succeed(PLAYBOOK, **first)
    assert again.changed == []
    assert playbooks.succeed(PLAYBOOK, "--check", **first).changed == []


def test_a_version_with_a_wrong_checksum_changes_nothing(
    machine: Machine, versions: Versions, playbooks: Playbooks
) -> None:
    playbooks.succeed(PLAYBOOK, **versions.add("v1", "I am one"))
    before, since = current(machine), started(machine)
    second = versions.add("v2", "I am two") | {"engine_checksums": {"model.json": "0" * 64}}
    ended = playbooks.run(PLAYBOOK, **second)
    assert ended.code != 0
    assert "model.json: FAILED" in ended.output
    assert (current(machine), started(machine), answer(machine)) == (before, since, "I am one")
    assert machine.run(f"ls {MODELS}").split() == ["v1", "v1.sha256", "v2.sha256"]


def test_a_file_that_no_checksum_vouches_for_is_refused(
    machine: Machine, versions: Versions, playbooks: Playbooks
) -> None:
    first = versions.add("v1", "I am one")
    machine.write("/models/v1/pickle.bin", "run me")
    ended = playbooks.run(PLAYBOOK, **first)
    assert ended.code != 0
    assert "pickle.bin" in ended.output


@pytest.mark.parametrize("fault", ["silent", "broken"])
def test_a_model_that_does_not_answer_is_rolled_back(
    machine: Machine, versions: Versions, playbooks: Playbooks, fault: str
) -> None:
    playbooks.succeed(PLAYBOOK, **versions.add("v1", "I am one"))
    before = current(machine)
    ended = playbooks.run(PLAYBOOK, **versions.add("v2", "I am two", fault))
    assert ended.code != 0
    assert "serves v1-" in ended.output
    assert "as before" in ended.output
    assert (current(machine), answer(machine)) == (before, "I am one")
    assert "change.json" not in machine.run(f"ls {ENGINE}")
    mended = versions.add("v3", "I am three")
    playbooks.succeed(PLAYBOOK, **mended)
    assert answer(machine) == "I am three"


def test_a_first_version_that_does_not_answer_leaves_nothing_running(
    machine: Machine, versions: Versions, playbooks: Playbooks
) -> None:
    ended = playbooks.run(PLAYBOOK, **versions.add("v1", "I am one", "silent"))
    assert ended.code != 0
    assert "it served nothing before" in ended.output
    assert machine.run("systemctl is-active forebay-engine-gpu-1 || true").strip() == "inactive"
    assert "current" not in machine.run(f"ls {ENGINE}")


def test_a_run_that_is_killed_after_any_task_is_made_whole_by_the_next(
    machine: Machine, versions: Versions, playbooks: Playbooks
) -> None:
    """Killed some tasks later each time, until a run comes to its end."""
    for number in range(1, 100, TASKS_APART):
        version = versions.add(f"v{number}", f"I am {number}")
        if end_after(playbooks, number, version):
            break
        ended = playbooks.succeed(PLAYBOOK, **version)
        assert answer(machine) == f"I am {number}", ended.output[-3000:]
        assert "change.json" not in machine.run(f"ls {ENGINE}")
    assert number > 15
    assert playbooks.succeed(PLAYBOOK, **version).changed == []


def end_after(playbooks: Playbooks, tasks: int, version: dict[str, Any]) -> bool:
    """Kill a run as its task of this number begins; returns whether it ended before that."""
    begun = 0
    with playbooks.start(PLAYBOOK, **version) as process:
        assert process.stdout
        for line in process.stdout:
            begun += line.startswith("TASK [")
            if begun > tasks:
                os.killpg(process.pid, signal.SIGKILL)
                break
    return process.returncode == 0


# Git and Docker Compose --------------------------------------------------------------------------
DOCKER = """#!/bin/sh
# `docker compose … up`, for a machine without Docker: the service is a unit of systemd.
set -eu
shift
while [ $# -gt 0 ]; do
    case $1 in
        --project-name) project=$2; shift ;;
        --env-file) . "$2"; shift ;;
        --file) test -s "$2"; shift ;;
        up) command=up ;;
        down) command=down ;;
    esac
    shift
done
systemctl stop "$project" 2>/dev/null || true
[ "$command" = down ] || exec systemd-run --collect --unit "$project" \\
    python3 /opt/engine_program.py "$MODEL_FOLDER" "$SERVED_AS" "$PORT"
"""
TAG = """
set -eu
export HOME=/root
git config --global user.name test && git config --global user.email test@example.com
if [ ! -d /models.git ]; then
    git init -q --bare /models.git
    git init -q /work && cd /work && git remote add origin file:///models.git
    git lfs install --local && git lfs track '*.json' && git add .gitattributes
fi
cd /work
cat > model.json
git add model.json && git commit -qm "$VERSION" && git tag "$VERSION"
git push -q origin HEAD "$VERSION"
"""


def test_the_playbook_with_git_and_compose_serves_a_tag(
    machine: Machine, versions: Versions, playbooks: Playbooks
) -> None:
    """The example of docs/operations/ansible.md, with a stand-in for Docker."""
    machine.run("rm -rf /models.git /work; systemctl stop forebay-gpu-1 || true")
    machine.write("/usr/bin/docker", DOCKER)
    machine.run("chmod +x /usr/bin/docker")
    playbooks.groups["gpu_fleet"] = ["gpu-1"]
    del playbooks.variables["engine_command"]
    playbooks.variables["engine_source"] = {"kind": "git", "repository": "file:///models.git"}
    example = str(COLLECTION / "examples" / "git-and-compose" / "playbook.yml")
    for version, words, fault in (("v1", "I am one", ""), ("v2", "I am two", "silent")):
        model = json.dumps({"words": words, "fault": fault})
        machine.write("/tmp/tag.sh", TAG)
        machine.run(f"VERSION={version} sh /tmp/tag.sh", model)
    playbooks.succeed(example, engine_version="v1")
    assert answer(machine) == "I am one"
    assert playbooks.succeed(example, engine_version="v1").changed == []
    ended = playbooks.run(example, engine_version="v2")
    assert ended.code != 0
    assert "as before" in ended.output
    assert answer(machine) == "I am one"
    assert "version https://git-lfs" not in machine.run(f"cat {MODELS}/v1/model.json")


def started(machine: Machine) -> str:
    return machine.run("systemctl show -p ExecMainStartTimestamp forebay-engine-gpu-1")
