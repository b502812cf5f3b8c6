"""Platforms on the cluster, one in each zone that is named, and an engine outside of all zones."""

import contextlib
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.servers.child import Child
from config.supervisor.embedded.postgres_programs import SystemUser, binaries
from tests import prepared
from tests.drills.cluster import Cluster, wait
from tests.drills.proxy import start_proxy
from tests.hosts.hosts import GRPC, WEB, Host, MockEngine, bare, engines
from tests.hosts.network import Namespace

START_S = 400
_ROLES = "web,grpc,workers,jobs"
_SECRETS = {"FOREBAY_MASTER_KEY": "master.key", "FOREBAY_AUDIT_SIGNING_KEY": "audit_signing.key"}


class Data:
    """What a platform that was started once has left: it becomes the first primary's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        prepared.home(self.home)

    def secret(self, name: str) -> str:
        return (self.home / "secrets" / name).read_text().strip()

    def give_to(self, cluster: Cluster, name: str) -> None:
        """Copy the database to a node, and make the roles there that Patroni needs."""
        place, user = cluster.place(name), SystemUser()
        data = place / "postgres"
        subprocess.run(["cp", "-a", str(self.home / "postgres"), str(data)], check=True)
        user.own_tree(data)
        roles = "".join(
            f"create role {role} login {power} password '{cluster.passwords[role]}';\n"
            for role, power in (("replicator", "replication"), ("rewinder", "superuser"))
        )
        program = str(binaries(user) / "postgres")
        command = [*user.prefix(data), program, "--single", "-j", "-D", str(data), "postgres"]
        text = roles.replace(";\n", ";\n\n")
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)


class Platforms:
    def __init__(self, cluster: Cluster, data: Data, zones: Sequence[str]) -> None:
        self._cluster, self._data = cluster, data
        self._engine = MockEngine(
            cluster.zones.host("eng"), cluster.folder, tokens=12, **{"interval-ms": 10}
        )
        self._places = {f"p{zone}": cluster.zones.host(f"p{zone}", zone) for zone in zones}
        self._proxies = [start_proxy(cluster, place) for place in self._places.values()]
        self.hosts = [
            Host(place, cluster.folder / name, _ROLES, self.variables(place))
            for name, place in self._places.items()
        ]
        wait(lambda: all(host.is_ready() for host in self.hosts), START_S, "no platform starts")

    def variables(self, place: Namespace) -> dict[str, str]:
        """Returns what a platform on a host is told."""
        values = self._cluster.variables
        sentinels = ",".join(
            f"{self._cluster.address(name)}:{values['sentinel_port']}"
            for name in self._cluster.running("sentinel")
        )
        password = self._cluster.passwords["valkey"]
        return {
            "DATABASE_URL": self._database(place, "forebay", "database.password"),
            "FOREBAY_REQUESTS_DATABASE_URL": self._database(
                place, "forebay_requests", "requests.password"
            ),
            "REDIS_URL": (
                f"redis+sentinel://:{password}@{sentinels}/{values['cluster']}/0"
                f"?sentinel_password={password}"
            ),
            "FOREBAY_ENGINES": engines(c=self._engine.url),
            "FOREBAY_ADMITTING_PROCESSES": str(2 * len(self._places)),
            "FOREBAY_IP_PER_MINUTE": "0",
            "FOREBAY_MFA": "optional",
            **{name: self._data.secret(file).split()[0] for name, file in _SECRETS.items()},
        }

    def _database(self, place: Namespace, role: str, secret: str) -> str:
        where = f"{place.address}:{self._cluster.variables['proxy_port']}"
        return f"postgres://{role}:{self._data.secret(secret)}@{where}/forebay"

    @property
    def http(self) -> list[str]:
        return [f"http://{place.address}:{WEB}" for place in self._places.values()]

    @property
    def grpc(self) -> list[str]:
        return [f"{place.address}:{GRPC}" for place in self._places.values()]

    def problem(self) -> str:
        """Returns which platform is not ready, "" if all are."""
        for url in self.http:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                    pass
            except OSError as error:
                return f"{url} is not ready: {error}"
        return ""

    def stop(self) -> None:
        for host in self.hosts:
            host.lose()
        children: list[Child] = [*self._proxies, self._engine.child]
        for child in children:
            with contextlib.suppress(OSError):
                child.stop(3)


def environment(platforms: Platforms, data: Data, desk: Namespace) -> dict[str, str]:
    """Returns what a program beside the platforms needs: the drill's own queries."""
    return {**bare(), **platforms.variables(desk), "FOREBAY_HOME": str(data.home)}
