"""PostgreSQL and Valkey over three zones, by the collection: made once, and it survives a machine.

The tests stand in order, and each leaves the cluster as the next finds it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
import yaml

from deploy.ha import __main__ as program
from tests.ansible.machines import Machine, machines
from tests.ansible.playbooks import Playbooks
from tests.e2e.ask import eventually

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_ANSIBLE"), reason="make test-ansible runs it"
    ),
    pytest.mark.timeout(3600),
    pytest.mark.slow(seconds=1800),
]
CLUSTER = "forebay.platform.cluster"
RUNS = {
    "a1": ["etcd", "postgresql", "valkey", "sentinel"],
    "b1": ["etcd", "postgresql", "valkey", "sentinel"],
    "c1": ["etcd", "postgresql", "sentinel"],
}
FAILOVER_S = 120
SECRETS = {"forebay": "database_password", "postgres": "administrators_password"}


class Cluster:
    def __init__(self, folder: Path, made: list[Machine]) -> None:
        self.machines = dict(zip(RUNS, made, strict=True))
        self.playbooks = Playbooks(folder, folder / "key")
        self.playbooks.succeed("forebay.platform.secrets", forebay_secrets_folder=str(folder / "s"))
        self._secrets = folder / "s"
        program.main(self._written(folder / "cluster.yml"), folder / "out", self._secrets)
        written = yaml.safe_load((folder / "out" / "inventory.yml").read_text())["all"]
        for name, variables in written["children"]["forebay_cluster"]["hosts"].items():
            self.playbooks.add(name, self.machines[name], "forebay_cluster", **variables)
        files = written["children"]["forebay_cluster"]["vars"]
        own = {"forebay_secrets_folder": str(self._secrets)}
        self.playbooks.variables = written["vars"] | files | own

    def _written(self, file: Path) -> Path:
        hosts = [
            {"name": name, "zone": name[0], "address": machine.address, "runs": RUNS[name]}
            for name, machine in self.machines.items()
        ]
        network = self.machines["a1"].address.rpartition(".")[0] + ".0/24"
        values = {"cluster": "bank", "hosts": hosts, "networks": [network], "watchdog": False}
        file.write_text(yaml.safe_dump(values))
        return file

    def secret(self, name: str) -> str:
        return (self._secrets / name).read_text().strip()

    def query(self, statement: str, role: str = "forebay") -> Any:
        """Returns the first value, from the server that takes writes, as a platform asks it."""
        hosts = ",".join(f"{machine.address}:5432" for machine in self.machines.values())
        wanted = "target_session_attrs=read-write&connect_timeout=3"
        url = f"postgresql://{role}:{self.secret(SECRETS[role])}@{hosts}/forebay?{wanted}"
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row and row[0]

    def primary(self) -> str:
        address = self.query("select host(inet_server_addr())")
        return next(name for name, each in self.machines.items() if each.address == address)

    def copies(self) -> int:
        """Returns how many standbys a commit may wait for."""
        members = httpx.get(f"http://{self.machines[self.primary()].address}:8008/cluster").json()
        return [each["role"] for each in members["members"]].count("quorum_standby")

    def valkey(self) -> str:
        """Returns the address that a sentinel names."""
        password = self.secret("valkey_password")
        with redis.Redis(self.machines["c1"].address, 26379, password=password) as sentinel:
            known: Any = sentinel.sentinel_master("bank")
        return str(known["ip"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with machines(folder, len(RUNS)) as made:
        yield Cluster(folder, made)


def test_a_cluster_is_made_from_hosts_that_have_nothing(cluster: Cluster) -> None:
    cluster.playbooks.succeed(CLUSTER)
    assert cluster.query("select current_database()") == "forebay"
    eventually(lambda: cluster.copies() == 2, seconds=60)
    assert cluster.valkey() == cluster.machines["a1"].address


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    again = cluster.playbooks.succeed(CLUSTER)
    assert again.changed == []


def test_it_tells_before_what_it_would_change(cluster: Cluster) -> None:
    checked = cluster.playbooks.succeed(CLUSTER, "--check", "--diff")
    assert checked.changed == []
    assert cluster.secret("valkey_password") not in checked.output


def test_another_machine_takes_over_from_one_that_lost_its_power(cluster: Cluster) -> None:
    cluster.query("create table kept (n int)", "postgres")
    cluster.query("grant all on kept to forebay", "postgres")
    lost = cluster.primary()
    cluster.query("insert into kept values (1)")
    cluster.machines[lost].stop()
    eventually(lambda: cluster.primary() != lost and _takes_writes(cluster), seconds=FAILOVER_S)
    assert cluster.query("select count(*) from kept where n = 1") == 1
    cluster.machines[lost].start()
    eventually(lambda: cluster.copies() == 2, seconds=FAILOVER_S)


def test_a_new_setting_reaches_a_running_cluster(cluster: Cluster) -> None:
    """A file that has changed is read again, host after host, and the primary stays."""
    primary = cluster.primary()
    file = Path(cluster.playbooks.variables["cluster_files"]) / primary / "patroni.yml"
    file.write_text(
        file.read_text().replace(
            "postgresql:\n  listen", "log: {level: DEBUG}\n\npostgresql:\n  listen"
        )
    )
    changed = cluster.playbooks.succeed(CLUSTER)
    assert "forebay.platform.cluster : Write Patroni's file" in changed.changed
    assert cluster.primary() == primary
    assert cluster.playbooks.succeed(CLUSTER).changed == []


def _takes_writes(cluster: Cluster) -> bool:
    return bool(cluster.query("insert into kept values (2) returning true"))
