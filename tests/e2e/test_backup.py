"""A platform whose disk is lost goes on elsewhere: every answer that was given is on record there,
and who was erased stays erased, whatever moment it goes back to.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.servers.forebay import FOREIGN, Forebay
from bench.servers.processes import tree
from config.environment import PROJECT
from tests.e2e.ask import HI, body, client, eventually
from tests.e2e.conftest import Mock, Platform, start_mock

# Fixtures: a test takes them by name, which looks unused here and shadowed there.
from tests.e2e.test_erasure_under_load import a_person, decider, done, manager  # noqa: F401

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(900)]
KEYS = "select count(*) from audit_datakey where subject_id is not null"
ANSWERS = "select count(*), count(distinct completion_id) from inference_usage where status = 200"


class Restored(Platform):
    """The platform on a home that was restored; its key is the one of before."""

    def __init__(self, folder: Path, engines: dict[str, Any], key: str) -> None:
        self._key, self._commands = key, None
        Forebay.__init__(self, folder, engines)

    def new_key(self) -> str:
        return self._key


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("backup-engine"))
    mock.behave(tokens=3)
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def engines(engine: Mock) -> dict[str, Any]:
    return {"mock": {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 16}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup")


@pytest.fixture(scope="module")
def platform(engines: dict[str, Any], folder: Path) -> Iterator[Platform]:
    variables = {"FOREBAY_BACKUP_TO": str(folder / "place"), "FOREBAY_BACKUP_SYNCHRONOUS": "on"}
    running = Platform(folder, engines, variables=variables)
    yield running
    running.stop()


def forebay(home: Path, folder: Path, *words: str) -> str:
    """Returns what is printed for what is typed on the machine of a home."""
    ended = typed(home, folder, *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def typed(home: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs in an environment of its own."""
    foreign = (*FOREIGN, "FOREBAY_ENGINES", "FOREBAY_TEST_SOAK")
    (folder / "passphrase").write_text("four words of nothing")
    variables = {
        "FOREBAY_HOME": str(home),
        "FOREBAY_BACKUP_TO": str(folder / "place"),
        "FOREBAY_BACKUP_PASSPHRASE_FILE": str(folder / "passphrase"),
    }
    return subprocess.run(
        [sys.executable, "-m", "config.command", *words],
        cwd=PROJECT,
        env={**{k: v for k, v in os.environ.items() if k not in foreign}, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def ask(platform: Platform, key: str, word: str) -> None:
    messages = [{"role": "user", "content": f"{word}: {HI[0]['content']}"}]
    with client(platform, key) as asking:
        answer = asking.post("/v1/chat/completions", json=body(messages=messages))
    assert answer.status_code == 200, answer.text


@contextmanager
def running(platform: Restored) -> Iterator[Restored]:
    try:
        yield platform
    finally:
        platform.stop()


def lose_the_machine(platform: Platform) -> None:
    for process in tree(platform.child.pid):
        with suppress(ProcessLookupError):  # it went with another
            os.kill(process.pid, signal.SIGKILL)


def stored(platform: Platform, folder: Path) -> None:
    now = time.time()

    def all_of_it() -> bool:
        status = json.loads(forebay(platform.home, folder, "backup", "status", "--json"))
        return bool(status["base"] and status["stored_until"] > now)

    eventually(all_of_it, 60)


def check_of_the_trail(restored: Restored) -> None:
    """The witness remembers checkpoints of the time that is gone; the record says why."""
    with pytest.raises(subprocess.CalledProcessError) as raised:
        restored.manage("audit_verify", "--json")
    report = json.loads(raised.value.output)
    assert {finding["kind"] for finding in report["findings"]} == {"witness_differs"}
    assert "a restore lost" in report["notes"][0]


def with_a_wrong_master_key_nothing_opens(folder: Path) -> None:
    """The key of the backups is right, the platform's keys are another installation's."""
    secrets = folder / "wrong" / "home" / "secrets"
    secrets.mkdir(parents=True)
    for name in ("backup.key", "database.password", "postgres.password"):
        shutil.copy(folder / "lost" / "secrets" / name, secrets)
    for name in ("master.key", "audit_signing.key"):
        (secrets / name).write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    ended = typed(folder / "wrong" / "home", folder, "restore")
    assert ended.returncode == 2
    assert "wrong master key" in ended.stderr
    assert not (folder / "wrong" / "home" / "postgres").exists()


@pytest.mark.slow(seconds=200)
def test_a_lost_disk_costs_no_answer_and_brings_nobody_back(
    platform: Platform,
    manager: httpx.Client,  # noqa: F811
    decider: httpx.Client,  # noqa: F811
    engines: dict[str, Any],
    folder: Path,
) -> None:
    leaves, stays = a_person(manager, "leaves"), a_person(manager, "stays")
    for person in (leaves, stays):
        ask(platform, person.key, person.word)
    stored(platform, folder)
    ((keys,),) = platform.rows(KEYS)
    before_the_erasure = datetime.now(UTC).isoformat()
    sent = {"mode": "erase", "key": leaves.id}
    erasure = decider.post("deletion-requests/", json=sent).json()["id"]
    eventually(lambda: done(platform, [erasure]), 60)
    forebay(platform.home, folder, "backup", "kit", str(folder / "kit.age"))
    report = json.loads(forebay(platform.home, folder, "backup", "verify", "--json"))
    assert report["findings"] == []
    assert report["events"] > 0
    for number in range(20):
        ask(platform, stays.key, f"{stays.word} {number}")
    (answers,) = platform.rows(ANSWERS)
    stored(platform, folder)
    lose_the_machine(platform)
    shutil.rmtree(platform.home / "postgres")  # and all the rest of the machine
    shutil.move(platform.home, folder / "lost")

    kit = str(folder / "kit.age")
    with_a_wrong_master_key_nothing_opens(folder)
    forebay(folder / "end" / "home", folder, "restore", "--kit", kit)
    with running(Restored(folder / "end", engines, stays.key)) as again:
        assert again.rows(ANSWERS) == [answers]
        ask(again, stays.key, "and on it goes")
        assert "difference 0" in again.manage("reconcile")

    back = folder / "back" / "home"
    forebay(back, folder, "restore", "--kit", kit, "--at", before_the_erasure)
    with running(Restored(folder / "back", engines, stays.key)) as again:
        assert again.rows(ANSWERS)[0][0] == 2
        assert again.rows(KEYS) == [(keys - 1,)], "no text of who left opens"
        check_of_the_trail(again)
