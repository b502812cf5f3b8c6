"""A Valkey Cluster of three nodes, for tests."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bench.children import Child
from config.supervisor.ports import find_free
from config.supervisor.valkey import binary

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


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Its URL."""
    ports = [(find_free(), find_free()) for _ in range(NODES)]
    children = []
    try:
        for port, bus in ports:
            own = folder / str(port)
            own.mkdir()
            told = _NODE.format(port=port, bus=bus, folder=own, password=PASSWORD)
            (own / "node.conf").write_text(told)
            children.append(Child([str(binary()), str(own / "node.conf")], own / "log"))
        _join(ports)
        yield f"redis+cluster://:{PASSWORD}@" + ",".join(f"127.0.0.1:{port}" for port, _ in ports)
    finally:
        for child in children:
            child.stop()


def _join(ports: list[tuple[int, int]]) -> None:
    nodes: list[Any] = [redis.Redis(port=port, password=PASSWORD) for port, _ in ports]
    for number, node in enumerate(nodes):
        _wait_for(node.ping)
        share = range(SLOTS * number // NODES, SLOTS * (number + 1) // NODES)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", share[0], share[-1])
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port, bus in ports[1:]:
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
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
