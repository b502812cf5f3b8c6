"""The files of a cluster over two zones and a witness, from one list of its hosts.

The templates are Jinja's, as Ansible's are, and take the same variables.
"""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

HERE = Path(__file__).resolve().parent
PASSWORDS = ("patroni", "postgres", "replicator", "rewinder", "valkey")
FILES = {  # the template of each program, and the file that it reads
    "etcd": "etcd.yml",
    "postgresql": "patroni.yml",
    "valkey": "valkey.conf",
    "sentinel": "sentinel.conf",
}
DISK_GUARD = ("disk_guard.py", "forebay-disk-guard.service")  # beside each Patroni
PROXY = "haproxy.cfg"
ZONES_THAT_VOTE = 3
Variables = dict[str, Any]


class Unsafe(ValueError):
    """A list of hosts with which a zone's loss would lose commits, or the majority."""


class File(NamedTuple):
    host: str  # "" for those of every host of the platform
    name: str
    text: str


def variables(cluster: Mapping[str, Any], passwords: Mapping[str, str]) -> Variables:
    """Returns what the templates take. Raises Unsafe."""
    values: Variables = yaml.safe_load((HERE / "defaults.yml").read_text())
    values |= {**cluster, "passwords": dict(passwords)}
    members = _running("etcd", values)
    _require_a_majority_without_any_zone(members)
    _require_a_lease_that_outlasts_its_renewal(values)
    peer, client = values["etcd_peer_port"], values["etcd_port"]
    return values | {
        "etcd_members": ",".join(f"{m['name']}=http://{m['address']}:{peer}" for m in members),
        "etcd_hosts": [f"{m['address']}:{client}" for m in members],
        "first_valkey": _running("valkey", values)[0],
        "synchronous_node_count": copies(values),
    }


def copies(values: Mapping[str, Any]) -> int:
    """Returns how many standbys must have a commit before it is answered. Raises Unsafe.

    As many as the largest zone has nodes: the primary is one of these, so that one of the copies is
    in another zone.
    """
    zones = [host["zone"] for host in _running("postgresql", values)]
    if len(set(zones)) < 2:
        raise Unsafe("PostgreSQL must run in two zones at least")
    return max(zones.count(zone) for zone in zones)


def files(values: Mapping[str, Any]) -> Iterator[File]:
    """Yield the files of each host."""
    for host in values["hosts"]:
        for program in host["runs"]:
            yield File(host["name"], FILES[program], render(FILES[program], values, host))
            if program == "postgresql":
                for name in DISK_GUARD:
                    yield File(host["name"], name, (HERE / name).read_text())
    yield File("", PROXY, render(PROXY, values))


def inventory(values: Mapping[str, Any], folder: Path) -> Variables:
    """Returns the cluster as an inventory for Ansible: its hosts, and what other hosts ask."""
    hosts = {
        host["name"]: {"ansible_host": host["address"], "cluster_runs": host["runs"]}
        for host in values["hosts"]
    }
    groups: Variables = {
        f"forebay_cluster_{program}": {
            "hosts": {host["name"]: {} for host in _running(program, values)}
        }
        for program in ("postgresql", "sentinel")
    }
    groups["forebay_cluster"] = {"hosts": hosts, "vars": {"cluster_files": str(folder)}}
    own = {
        "cluster_name": values["cluster"],
        "cluster_sentinel_port": values["sentinel_port"],
        "forebay_database_port": values["postgresql_port"],
    }
    return {"all": {"children": groups, "vars": own}}


def render(name: str, values: Mapping[str, Any], host: Mapping[str, Any] | None = None) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML
    )
    return environment.get_template(f"{name}.j2").render(**values, host=host)


def new_passwords() -> dict[str, str]:
    return {name: secrets.token_urlsafe(24) for name in PASSWORDS}


def _running(program: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [host for host in values["hosts"] if program in host["runs"]]


def _require_a_lease_that_outlasts_its_renewal(values: Mapping[str, Any]) -> None:
    """Patroni's condition: else a primary goes on that another one has taken over from."""
    if values["loop_wait"] + 2 * values["retry_timeout"] > values["ttl"]:
        raise Unsafe("loop_wait + 2 * retry_timeout must be no more than ttl")


def _require_a_majority_without_any_zone(members: list[dict[str, Any]]) -> None:
    zones = [member["zone"] for member in members]
    if len(set(zones)) < ZONES_THAT_VOTE:
        raise Unsafe("etcd must run in three zones, of which one may be a mere witness")
    if max(zones.count(zone) for zone in zones) * 2 >= len(zones):
        raise Unsafe("one zone has half of etcd's members or more: its loss would stop all")
