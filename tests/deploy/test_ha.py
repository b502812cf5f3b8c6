"""deploy/ha: the files of a cluster over two zones and a witness, and the clusters it refuses."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from bench.servers.child import Child, wait_until_listening
from config.environment import PROJECT
from config.supervisor.embedded import valkey
from config.supervisor.ports import find_free
from deploy.ha import __main__ as program
from deploy.ha import rendering

pytestmark = pytest.mark.unit
EXAMPLE = PROJECT / "deploy" / "ha" / "cluster.example.yml"
DEBIANS_ETCD = Path("/usr/lib/systemd/system/etcd.service")
PASSWORDS = dict.fromkeys(rendering.PASSWORDS, 'a "word"')


def cluster() -> dict[str, Any]:
    text: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return text


def rendered(hosts: dict[str, Any]) -> dict[tuple[str, str], str]:
    files = rendering.files(rendering.variables(hosts, PASSWORDS))
    return {(file.host, file.name): file.text for file in files}


def test_every_host_has_the_files_of_what_it_runs() -> None:
    files = rendered(cluster())
    for host in cluster()["hosts"]:
        own = {name for owner, name in files if owner == host["name"]}
        guard = rendering.DISK_GUARD if "postgresql" in host["runs"] else ()
        assert own == {rendering.FILES[each] for each in host["runs"]} | set(guard)
    assert ("", "haproxy.cfg") in files


def test_a_commit_waits_for_a_copy_in_the_other_zone() -> None:
    patroni = yaml.safe_load(rendered(cluster())["a1", "patroni.yml"])
    settings = patroni["bootstrap"]["dcs"]
    assert settings["synchronous_mode"] == "quorum"
    assert settings["synchronous_mode_strict"] is True
    in_zone_a = [h for h in cluster()["hosts"] if h["zone"] == "a" and "postgresql" in h["runs"]]
    assert settings["synchronous_node_count"] == len(in_zone_a)
    assert settings["failsafe_mode"] is False


def test_a_primary_that_does_not_stop_is_killed_before_its_lease_would_end() -> None:
    """Patroni waits for ever without it, and renews the lease meanwhile."""
    patroni = yaml.safe_load(rendered(cluster())["a1", "patroni.yml"])
    settings = patroni["bootstrap"]["dcs"]
    assert 0 < settings["primary_stop_timeout"] <= settings["ttl"]


def test_a_lease_that_ends_before_it_can_be_renewed_is_refused() -> None:
    with pytest.raises(rendering.Unsafe, match="no more than ttl"):
        rendered(cluster() | {"retry_timeout": 10})


def test_an_election_takes_ten_heartbeats() -> None:
    values = yaml.safe_load((PROJECT / "deploy" / "ha" / "defaults.yml").read_text())
    assert values["etcd_election_ms"] >= 10 * values["etcd_heartbeat_ms"]


def test_valkey_leaves_memory_to_postgresql_beside_it() -> None:
    """Without a bound `noeviction` refuses nothing, and ForebayValkeyMemory never fires."""
    for host in ("a1", "b1"):
        assert "\nmaxmemory 1gb\n" in rendered(cluster())[host, "valkey.conf"]
    larger = rendered(cluster() | {"valkey_memory": "16gb"})
    assert "\nmaxmemory 16gb\n" in larger["a1", "valkey.conf"]


def test_haproxy_does_not_stay_root() -> None:
    assert "    user haproxy\n" in rendered(cluster())["", "haproxy.cfg"]


def test_passwords_with_quotes_stay_what_they_are() -> None:
    patroni = yaml.safe_load(rendered(cluster())["b1", "patroni.yml"])
    authentication = patroni["postgresql"]["authentication"]
    assert authentication["superuser"] == {"username": "postgres", "password": 'a "word"'}


def test_etcds_members_know_each_other() -> None:
    files = rendered(cluster())
    members = [name for name, file in files if file == "etcd.yml"]
    for name in members:
        text = yaml.safe_load(files[name, "etcd.yml"])
        known = [each.split("=")[0] for each in text["initial-cluster"].split(",")]
        assert (text["name"], known) == (name, members)


def without(host: str, program: str) -> dict[str, Any]:
    hosts = cluster()
    for each in hosts["hosts"]:
        if each["name"] == host:
            each["runs"].remove(program)
    return hosts


def test_a_cluster_without_a_majority_or_a_second_zone_is_refused() -> None:
    with pytest.raises(rendering.Unsafe, match="three zones"):
        rendered(without("w1", "etcd"))
    hosts = cluster()
    hosts["hosts"] = [each for each in hosts["hosts"] if each["zone"] != "b"]
    with pytest.raises(rendering.Unsafe):
        rendered(hosts)
    hosts = cluster()
    for each in hosts["hosts"]:
        if each["name"] == "a2":
            each["runs"].append("etcd")
    with pytest.raises(rendering.Unsafe, match="half"):
        rendered(hosts)


def test_the_program_makes_passwords_once(tmp_path: Path) -> None:
    program.main(EXAMPLE, tmp_path / "out")
    first = (tmp_path / "out" / "passwords.yml").read_text()
    program.main(EXAMPLE, tmp_path / "out")
    assert (tmp_path / "out" / "passwords.yml").read_text() == first
    file = tmp_path / "out" / "a1" / "patroni.yml"
    assert os.stat(file).st_mode & 0o077 == 0
    words = yaml.safe_load(first)
    assert len(set(words.values())) == len(rendering.PASSWORDS)
    assert words["postgres"] in file.read_text()


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs Debian's haproxy")
def test_the_program_shares_secrets_with_the_platform_and_lists_the_hosts(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("administrators_password", "valkey_password"):
        (secrets / name).write_text(f"the {name}\n")
    program.main(EXAMPLE, tmp_path / "out", secrets)
    passwords = yaml.safe_load((tmp_path / "out" / "passwords.yml").read_text())
    assert passwords["postgres"] == "the administrators_password"
    assert passwords["valkey"] == "the valkey_password"
    inventory = yaml.safe_load((tmp_path / "out" / "inventory.yml").read_text())["all"]
    groups = inventory["children"]
    assert groups["forebay_cluster"]["vars"] == {"cluster_files": str(tmp_path / "out")}
    assert groups["forebay_cluster"]["hosts"]["w1"]["cluster_runs"] == ["etcd", "sentinel"]
    assert list(groups["forebay_cluster_postgresql"]["hosts"]) == ["a1", "a2", "b1", "b2"]
    assert inventory["vars"]["forebay_database_port"] == 5432


def test_a_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="administrators_password"):
        program.main(EXAMPLE, tmp_path / "out", tmp_path)


def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(rendered(cluster())["", "haproxy.cfg"])
    checked = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(not DEBIANS_ETCD.exists(), reason="needs Debian's etcd-server")
def test_etcd_starts_by_the_page_with_its_file_alone(tmp_path: Path) -> None:
    """Debian's unit sets a name and a data folder, which the file has to outdo."""
    page = (PROJECT / "docs" / "operations" / "disaster-recovery.md").read_text()
    documented = re.search(r"echo 'DAEMON_ARGS=(\S+)' >/etc/default/etcd\n", page)
    assert documented
    unit = DEBIANS_ETCD.read_text()
    assert "\nEnvironmentFile=-/etc/default/%p\n" in unit
    assert "\nExecStart=/usr/bin/etcd $DAEMON_ARGS\n" in unit
    port, peer_port = find_free(), find_free()
    changed = {"etcd_port": port, "etcd_peer_port": peer_port, "etcd_data": str(tmp_path / "data")}
    own = yaml.safe_load(rendered(cluster() | changed)["a1", "etcd.yml"])
    text = yaml.safe_dump(own | {"initial-cluster": own["initial-cluster"].split(",")[0]})
    address = next(each["address"] for each in cluster()["hosts"] if each["name"] == "a1")
    (tmp_path / "etcd.yml").write_text(text.replace(address, "127.0.0.1"))

    command = ["/usr/bin/etcd", documented[1].replace("/etc/etcd.yml", str(tmp_path / "etcd.yml"))]
    environment = {"ETCD_NAME": "host", "ETCD_DATA_DIR": str(tmp_path / "default")}
    etcd = Child(command, tmp_path / "etcd.log", env=environment)
    try:
        wait_until_listening(port, 60)
    finally:
        etcd.stop(10)
    assert (tmp_path / "data" / "member").is_dir()


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[int]:
    """Yields the port of a sentinel over one Valkey, both by their files."""
    port, sentinel_port = find_free(), find_free()
    hosts = cluster() | {
        "valkey_port": port,
        "sentinel_port": sentinel_port,
        "valkey_data": str(tmp_path),
    }
    for each in hosts["hosts"]:
        each["address"] = "127.0.0.1"
    files = rendering.files(rendering.variables(hosts, dict.fromkeys(rendering.PASSWORDS, "word")))
    texts = {file.name: file.text for file in files if file.host == "a1"}
    children = []
    for name, more in (("valkey.conf", []), ("sentinel.conf", ["--sentinel"])):
        (tmp_path / name).write_text(texts[name])
        command = [str(valkey.binary()), str(tmp_path / name), *more]
        children.append(Child(command, tmp_path / f"{name}.log"))
    try:
        for each in (port, sentinel_port):
            wait_until_listening(each, 60)
        yield sentinel_port
    finally:
        for child in children:
            child.stop(10)


def test_a_sentinel_answers_nobody_without_the_password(sentinel: int) -> None:
    stranger = redis.Redis("127.0.0.1", sentinel)
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.sentinel_master("forebay")
    until = time.monotonic() + 60
    with redis.Redis("127.0.0.1", sentinel, password="word") as ours:
        while not ours.sentinel_master("forebay").get("runid"):
            assert time.monotonic() < until, "it does not reach Valkey"
            time.sleep(0.2)


@pytest.mark.skipif(not shutil.which("patroni"), reason="needs Debian's patroni")
def test_patroni_takes_its_file(tmp_path: Path) -> None:
    """Its own check, without that of folders and ports, which are another machine's."""
    text = rendered(cluster())["a1", "patroni.yml"]
    checked = subprocess.run(
        ["/usr/bin/python3", "-c", _LOADS], input=text, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


_LOADS = """
import sys, tempfile
from patroni.config import Config
with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
    file.write(sys.stdin.read())
    file.flush()
    config = Config(file.name)
assert config.get("bootstrap")["dcs"]["synchronous_node_count"] == 2
assert config.get("etcd3")["hosts"]
"""
