"""Two Valkeys, one a replica of the other, and three sentinels that watch them."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench.servers.child import Child
from config.supervisor.embedded.valkey import binary
from config.supervisor.ports import find_free
from infrastructure.redis import servers

NAME, PASSWORD = "forebay", "of-the-servers"
DOWN_AFTER_MS = 1000
_SERVER = """\
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
primaryauth {password}
save ""
appendonly no
repl-diskless-sync-delay 0
{replica_of}
"""
_SENTINEL = """\
bind 127.0.0.1
port {port}
dir {folder}
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel auth-pass {name} {password}
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} 4000
"""


@dataclass
class Watched:
    url: str
    servers: dict[int, Child]  # by port

    @property
    def primary(self) -> int | None:
        """Its port, as the sentinels say; None while there is none."""
        asked: Any = servers.watch(servers.servers(self.url))
        try:
            return int(asked.discover_master(NAME)[1])
        except redis.RedisError:
            return None


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    children: list[Child] = []

    def start(config: str, *more: str) -> tuple[int, Child]:
        port = find_free()
        own = folder / str(port)
        own.mkdir()
        (own / "server.conf").write_text(config.format(port=port, folder=own, **_SHARED))
        command = [str(binary()), str(own / "server.conf"), *more]
        children.append(Child(command, own / "log"))
        _wait_for(port)
        return port, children[-1]

    try:
        primary, first = start(_SERVER.replace("{replica_of}", ""))
        replica, second = start(_SERVER.replace("{replica_of}", f"replicaof 127.0.0.1 {primary}"))
        config = _SENTINEL.replace("{primary}", str(primary))
        ports = [start(config, "--sentinel")[0] for _ in range(3)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        found = Watched(
            f"redis+sentinel://:{PASSWORD}@{hosts}/{NAME}/0", {primary: first, replica: second}
        )
        _wait_for_replica(ports)
        yield found
    finally:
        for child in children:
            child.stop(5)
        shutil.rmtree(folder, ignore_errors=True)


_SHARED = {"name": NAME, "password": PASSWORD, "down_after": DOWN_AFTER_MS}


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            with redis.Redis(port=port) as server:
                server.ping()
        except redis.AuthenticationError:
            return
        except redis.RedisError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {port}")


def _wait_for_replica(ports: list[int]) -> None:
    """Until each sentinel knows the replica and the two others."""
    for port in ports:
        for _ in range(200):
            with redis.Redis(port=port) as sentinel:
                state = sentinel.sentinel_master(NAME)
            if state["num-slaves"] == 1 and state["num-other-sentinels"] == 2:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"the sentinel at {port} has not found the others")
