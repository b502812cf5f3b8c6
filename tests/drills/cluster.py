"""The cluster of deploy/ha/ on hosts that are namespaces: its files, its programs, its state."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psycopg
import redis

from bench.servers.child import Child
from bench.servers.processes import tree
from config.supervisor.embedded import valkey
from config.supervisor.embedded.postgres_programs import SystemUser, binaries
from deploy.ha import rendering
from tests.drills.zones import Zones, pids
from tests.hosts.network import Namespace

ZONES = ("a", "b", "w")
HOSTS = [
    {"name": "a1", "zone": "a", "runs": ["etcd", "postgresql", "valkey", "sentinel"]},
    {"name": "a2", "zone": "a", "runs": ["postgresql"]},
    {"name": "b1", "zone": "b", "runs": ["etcd", "postgresql", "valkey", "sentinel"]},
    {"name": "b2", "zone": "b", "runs": ["postgresql"]},
    {"name": "w1", "zone": "w", "runs": ["etcd", "sentinel"]},
]
NEEDED = ("etcd", "etcdctl", "patroni", "haproxy")
PACKAGES = "patroni python3-etcd etcd-server etcd-client haproxy libfaketime"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
DISK_BYTES = 1_200_000_000
STOPS_WITHIN_S = 60  # Patroni, which waits for its PostgreSQL
# Small machines: all the memory and connections of an idle platform, no more.
SMALL = {"shared_buffers": "32MB", "min_wal_size": "64MB", "max_wal_size": "256MB"}
START_S = 400


class NotHere(Exception):
    """What keeps a cluster from being made on this machine."""


@dataclass
class Member:
    """A PostgreSQL, as Patroni has it."""

    name: str
    role: str  # leader, quorum_standby, replica
    state: str  # running, streaming, and others
    timeline: int


@dataclass
class Cluster:
    zones: Zones
    folder: Path
    passwords: dict[str, str] = field(default_factory=rendering.new_passwords)
    variables: dict[str, Any] = field(default_factory=dict)
    children: dict[tuple[str, str], Child] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the hosts and their files. Raises NotHere."""
        if missing := [name for name in NEEDED if not shutil.which(name)]:
            raise NotHere(f"{', '.join(missing)}: apt-get install {PACKAGES}")
        hosts = [
            {**host, "address": self.zones.host(str(host["name"]), str(host["zone"])).address}
            for host in HOSTS
        ]
        self.variables = rendering.variables(self._values(hosts), self.passwords)
        user = SystemUser()
        for host in hosts:
            place = self.place(str(host["name"]))
            place.mkdir(mode=0o755)
            size = f"size={DISK_BYTES}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "drill", str(place)], check=True)
            place.chmod(0o755)
            user.own(place)
            (place / "clock").write_text("+0")
            own = {
                "etcd_data": f"{place}/etcd",
                "postgresql_data": f"{place}/postgres",
                "valkey_data": str(place),
                "pgpass": f"{place}/pgpass",
                "socket_folder": str(place),
            }
            for program in host["runs"]:
                file = rendering.FILES[program]
                (place / file).write_text(rendering.render(file, self.variables | own, host))
                user.own(place / file)

    def _values(self, hosts: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "cluster": "drill",
            "hosts": hosts,
            "networks": ["10.78.0.0/16"],
            "watchdog": False,  # this machine must not restart
            "postgresql_bin": str(binaries(SystemUser())),
            "max_connections": 150,
            "wal_keep_size": "128MB",
            "max_slot_wal_keep_size": "512MB",
            "postgresql_parameters": SMALL,
        }

    @cached_property
    def desk(self) -> Namespace:
        """A host outside of all zones, for the drill's own queries."""
        return self.zones.host("desk")

    def place(self, name: str) -> Path:
        return self.folder / name

    # Programs ------------------------------------------------------------------------------------
    def start(self, *, first: str = "a1") -> None:
        """Start all, so that `first` is the primary."""
        for program in ("etcd", "valkey", "sentinel"):
            for name in self.running(program):
                self.start_program(name, program)
        self.start_program(first, "postgresql")
        wait(lambda: self.primary() == first, START_S, f"{first} is no primary")
        for name in self.running("postgresql"):
            if name != first:
                self.start_program(name, "postgresql")
            self.start_program(name, "disk_guard")
        wait(lambda: not self.unhealthy(), START_S, "the cluster is not whole")

    def running(self, program: str) -> list[str]:
        """Returns the names of the hosts that run a program."""
        return [host["name"] for host in self.variables["hosts"] if program in host["runs"]]

    def start_program(self, name: str, program: str) -> None:
        place, host = self.place(name), self.zones.hosts[name]
        patroni = str(place / rendering.FILES["postgresql"])
        file = str(place / rendering.FILES.get(program, patroni))
        # Linux sends a death signal when the thread ends that started the program, and a drill's
        # threads end with it.
        user = [word for word in SystemUser().prefix(place) if "--pdeathsig" not in word]
        clock = [f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={place}/clock"]
        clock += ["FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_CACHE_DURATION=1"]
        commands = {
            "etcd": ["etcd", "--config-file", file],
            "postgresql": [*user, "env", *(clock if FAKETIME.exists() else []), "patroni", file],
            "disk_guard": [*user, sys.executable, str(rendering.HERE / "disk_guard.py"), patroni],
            "valkey": [str(valkey.binary()), file],
            "sentinel": [str(valkey.binary()), file, "--sentinel"],
        }
        (logs := self.folder / "logs").mkdir(exist_ok=True)
        log = logs / f"{name}-{program}-{time.time():.0f}.log"
        # Libpq's variables are for the platform: Patroni connects to standbys as well.
        bare = {each: value for each, value in os.environ.items() if not each.startswith("PG")}
        self.children[name, program] = Child([*host.prefix, *commands[program]], log, bare)

    def pids_of(self, name: str, program: str) -> list[int]:
        """Returns the processes of a program on a host, its children with it."""
        child = self.children.get((name, program))
        if child is None or child.process.poll() is not None:
            here = pids(self.zones.hosts[name])
            return [pid for pid in here if program == "postgresql" and _is_postgres(pid)]
        own = [each.pid for each in tree(child.pid)]
        more = pids(self.zones.hosts[name]) if program == "postgresql" else []
        return list({*own, *(pid for pid in more if _is_postgres(pid))})

    def send_signal(self, name: str, program: str, number: signal.Signals) -> None:
        for pid in self.pids_of(name, program):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, name: str, program: str) -> None:
        self.send_signal(name, program, signal.SIGKILL)
        self.children[name, program].process.wait(10)

    def end_patroni(self, name: str) -> None:
        """Stop it as systemd does; it stops its PostgreSQL."""
        for pid in self.pids_of(name, "postgresql"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if any(word.endswith(b"/patroni") for word in words[:2]):
                    os.kill(pid, signal.SIGTERM)
        self.children[name, "postgresql"].process.wait(STOPS_WITHIN_S)

    def stop(self) -> None:
        for child in self.children.values():
            child.process.kill()
        for name in self.zones.hosts:
            for pid in pids(self.zones.hosts[name]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for host in HOSTS:
            subprocess.run(["umount", "-l", str(self.place(str(host["name"])))], check=False)

    # State ---------------------------------------------------------------------------------------
    def address(self, name: str) -> str:
        return self.zones.hosts[name].address

    def members(self) -> list[Member]:
        """Returns what the first Patroni that answers knows; [] where none does."""
        for name in self.running("postgresql"):
            with contextlib.suppress(OSError, ValueError):
                return [_member(each) for each in self.ask(name, "cluster")["members"]]
        return []

    def ask(self, name: str, path: str) -> Any:
        """Returns Patroni's JSON, whichever status it has. Raises OSError."""
        url = f"http://{self.address(name)}:{self.variables['patroni_port']}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return json.load(answer)
        except HTTPError as refusal:
            return json.load(refusal)

    def primary(self) -> str:
        """Returns the name of the node that holds the lease and answers as primary, or ""."""
        for name in self.running("postgresql"):
            url = f"http://{self.address(name)}:{self.variables['patroni_port']}/primary"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return name
        return ""

    def primaries(self) -> list[str]:
        """Returns every node that takes writes, whatever Patroni says: more than one is a split."""
        writable = []
        for name in self.running("postgresql"):
            with contextlib.suppress(Exception):
                if self.value(name, "select pg_is_in_recovery()") is False:
                    writable.append(name)
        return writable

    def value(self, name: str, query: str) -> Any:
        with psycopg.connect(self.dsn(name), autocommit=True, connect_timeout=2) as connection:
            row = connection.execute(query).fetchone()
        return row and row[0]

    def dsn(self, name: str, database: str = "postgres") -> str:
        where = f"{self.address(name)}:{self.variables['postgresql_port']}"
        return f"postgresql://postgres:{self.passwords['postgres']}@{where}/{database}"

    def etcd_leader(self) -> str:
        """Returns the host of etcd's leader, or ""."""
        for name in self.running("etcd"):
            endpoint = f"http://{self.address(name)}:{self.variables['etcd_port']}"
            words = ["etcdctl", "--endpoints", endpoint, "--command-timeout=2s"]
            ended = subprocess.run(
                [*words, "endpoint", "status", "-w", "json"], capture_output=True, text=True
            )
            with contextlib.suppress(ValueError, LookupError, TypeError):
                status = json.loads(ended.stdout)[0]["Status"]
                if status["header"]["member_id"] == status["leader"]:
                    return name
        return ""

    def valkey_primary(self) -> str:
        """Returns the host that the sentinels name, or ""."""
        for name in self.running("sentinel"):
            with contextlib.suppress(redis.RedisError):
                where = (self.address(name), self.variables["sentinel_port"])
                with redis.Redis(*where, password=self.passwords["valkey"]) as sentinel:
                    known: Any = sentinel.sentinel_master(self.variables["cluster"])
                return next(
                    (host for host in self.running("valkey") if self.address(host) == known["ip"]),
                    "",
                )
        return ""

    def unhealthy(self) -> str:
        """Returns what is not as it should be, "" if all is."""
        members = self.members()
        leaders = [each for each in members if each.role == "leader" and each.state == "running"]
        if len(leaders) != 1:
            return f"{len(leaders)} primaries"
        streaming = [each for each in members if each.state == "streaming"]
        if len(streaming) != len(self.running("postgresql")) - 1:
            return f"{len(streaming)} standbys are streaming"
        synchronous = [each for each in streaming if each.role == "quorum_standby"]
        if len(synchronous) < len(streaming):
            return f"{len(synchronous)} standbys count for the quorum"
        if len({each.timeline for each in members}) > 1:
            return "not all are on one timeline"
        return "" if self.etcd_leader() else "etcd has no leader"


def _member(each: dict[str, Any]) -> Member:
    return Member(each["name"], each["role"], each["state"], int(each.get("timeline") or 0))


def _is_postgres(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    return False


def wait(condition: Any, seconds: float, problem: str) -> None:
    """Wait for a condition. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(problem)
        time.sleep(0.25)
