"""What each kind of drill breaks in a cluster of namespaces, and how that is undone."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.drills.cluster import Cluster, wait

DELAY_MS, LOSS_PERCENT = 150, 5.0  # each way: a round trip takes 300 ms more
TAKEN_OVER_S = 90
_OWN_COMMIT = """
    set synchronous_commit to local;
    create table if not exists of_a_diverged_primary (at timestamptz);
    insert into of_a_diverged_primary values (now())"""


class Faults:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._zones = cluster, cluster.zones
        self._undo: list[Callable[[], None]] = []

    def break_(self, name: str) -> str:
        """Returns what was broken, in words."""
        fault: Callable[[], str] = getattr(self, f"_{name}")
        return fault()

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _primary(self) -> str:
        primary = self._cluster.primary()
        assert primary, "there is no primary"
        return primary

    def _zone_of(self, name: str) -> str:
        hosts = self._cluster.variables["hosts"]
        return next(str(host["zone"]) for host in hosts if host["name"] == name)

    # The primary ---------------------------------------------------------------------------------
    def _kill_primary(self) -> str:
        name = self._primary()
        self._cluster.kill(name, "postgresql")
        self._undo.append(lambda: self._cluster.start_program(name, "postgresql"))
        return name

    def _freeze_primary(self) -> str:
        name = self._primary()
        self._cluster.send_signal(name, "postgresql", signal.SIGSTOP)
        self._undo.append(lambda: self._cluster.send_signal(name, "postgresql", signal.SIGCONT))
        return name

    def _mute_primary(self) -> str:
        name = self._primary()
        self._undo.append(lambda: self._zones.unmute(name))
        self._zones.mute(name)
        return name

    def _cut_primary(self) -> str:
        name = self._primary()
        self._cut(name)
        return name

    def _cut(self, *names: str) -> None:
        for name in names:
            self._zones.hosts[name].cut()
            self._undo.append(self._zones.hosts[name].join)

    def _fill_disk(self) -> str:
        name = self._primary()
        ballast = self._cluster.place(name) / "ballast"
        self._undo.append(lambda: self._free_disk(name, ballast))
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
        return name

    def _free_disk(self, name: str, ballast: Path) -> None:
        """Free the disk; start Patroni again if it gave up."""
        ballast.unlink(missing_ok=True)
        if self._cluster.children[name, "postgresql"].process.poll() is not None:
            self._cluster.start_program(name, "postgresql")

    def _turn_clock_back(self) -> str:
        name = self._primary()
        clock = self._cluster.place(name) / "clock"
        self._undo.append(lambda: _write(clock, "+0"))
        _write(clock, "-10m")
        wait(
            lambda: self._is_behind(name), 30, "the clock does not go back: libfaketime is missing"
        )
        return name

    def _is_behind(self, name: str) -> bool:
        at = self._cluster.value(name, "select extract(epoch from clock_timestamp())")
        return time.time() - float(at) > 500

    def _diverge_primary(self) -> str:
        """Cut the primary off, commit there what no standby has, and wait for another.

        Raises psycopg.Error if it does not commit: nothing has diverged then.
        """
        name = self._primary()
        self._cut(name)
        with self._inside(name) as connection:
            connection.execute(_OWN_COMMIT)
        others = set(self._cluster.running("postgresql")) - {name}
        wait(lambda: self._cluster.primary() in others, TAKEN_OVER_S, "nobody takes over")
        return name

    def _inside(self, name: str) -> "psycopg.Connection[tuple[object, ...]]":
        """Connects by the socket, for which no network is needed."""
        return psycopg.connect(
            host=str(self._cluster.place(name)),
            port=self._cluster.variables["postgresql_port"],
            user="postgres",
            password=self._cluster.passwords["postgres"],
            dbname="postgres",
            autocommit=True,
            connect_timeout=3,
        )

    def _switch_over(self) -> str:
        """Restart the primary's Patroni: as it stops, a standby takes over."""
        name = self._primary()
        self._cluster.end_patroni(name)
        self._cluster.start_program(name, "postgresql")
        return name

    # Others --------------------------------------------------------------------------------------
    def _kill_consensus_leader(self) -> str:
        name = self._cluster.etcd_leader()
        self._cluster.kill(name, "etcd")
        self._undo.append(lambda: self._cluster.start_program(name, "etcd"))
        return name

    def _lose_zone(self) -> str:
        zone = self._zone_of(self._primary())
        self._cut(*self._zones.in_zone(zone))
        return f"zone {zone}"

    def _lose_witness_and_zone(self) -> str:
        zone = self._zone_of(self._primary())
        self._cut("w1")
        time.sleep(5)
        self._cut(*self._zones.in_zone(zone))
        return f"w1, then zone {zone}"

    def _slow_network(self) -> str:
        self._undo.append(self._zones.speed_up)
        self._zones.slow_down(DELAY_MS, LOSS_PERCENT)
        return f"{DELAY_MS} ms each way, {LOSS_PERCENT} % lost"

    def _lose_valkey(self) -> str:
        name = self._cluster.valkey_primary()
        self._cluster.kill(name, "valkey")
        self._undo.append(lambda: self._cluster.start_program(name, "valkey"))
        return name


def _write(clock: Path, text: str) -> None:
    clock.write_text(text)
    os.chmod(clock, 0o644)
