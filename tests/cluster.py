"""A Valkey Cluster of three nodes, for tests."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bench.servers.child import Child
from config.supervisor.embedded.valkey import binary
from config.supervisor.ports import find_free

PASSWORD = "of-the-cluster"
SLOTS, NODES = 16_384, 3
_NODE = """\
bind 127.0.0.1
port {port}
cluster-port {bus}
dir {folder}
requirepass {password}
masterauth {password}
cluster-enabled yes
cluster-node-timeout 2000
save ""
appendonly no
"""


class Node:
    def __init__(self, folder: Path) -> None:
        self.port, self.bus = find_free(), find_free()
        self._folder = folder / str(self.port)
        self._folder.mkdir()
        told = {"port": self.port, "bus": self.bus, "folder": self._folder, "password": PASSWORD}
        (self._folder / "node.conf").write_text(_NODE.format(**told))
        self.start()

    def start(self) -> None:
        command = [str(binary()), str(self._folder / "node.conf")]
        self.child = Child(command, self._folder / "log")

    def lose(self) -> None:
        """With all that it had; it is to be started again."""
        self.child.process.kill()
        self.child.process.wait(10)


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder) for _ in range(NODES)]
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        self.url = f"redis+cluster://:{PASSWORD}@{places}"

    def is_whole(self) -> bool:
        try:
            return all(_is_whole(_client(node)) for node in self.nodes)
        except redis.RedisError:
            return False


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    made = Cluster(folder)
    try:
        _join(made.nodes)
        yield made
    finally:
        for node in made.nodes:
            node.child.stop()


def _client(node: Node) -> Any:
    return redis.Redis(port=node.port, password=PASSWORD)


def _join(members: list[Node]) -> None:
    nodes = list(map(_client, members))
    for number, node in enumerate(nodes):
        _wait_for(node.ping)
        share = range(SLOTS * number // NODES, SLOTS * (number + 1) // NODES)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", share[0], share[-1])
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for other in members[1:]:
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
    for node in nodes:
        _wait_for(partial(_is_whole, node))
        node.close()


def _is_whole(node: Any) -> bool:
    told = node.execute_command("CLUSTER", "INFO").decode()
    return "cluster_state:ok" in told and f"cluster_known_nodes:{NODES}" in told


def _wait_for(holds: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "the cluster does not come up"
        time.sleep(0.05)
