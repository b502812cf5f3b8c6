"""Moves PostgreSQL's primary off a disk that is nearly full: `disk_guard.py PATRONI.YML`.

It runs beside Patroni, under the same user. Such a primary fails every write, while Patroni, which
only asks whether PostgreSQL answers, leaves it where it is. Needs Python and PyYAML, as Patroni
does.
"""

import base64
import json
import os
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import yaml

LEAST_SHARE = 0.02  # of a disk that must be free
LEAST_BYTES = 1 << 30  # is enough on a large one
LOOK_EVERY_S = 5.0
REST_S = 120.0  # between two moves: where the other disks are full too, moving on helps nobody
_PATIENCE_S = 60.0  # a switch-over waits for PostgreSQL to stop
_FAILURES = (OSError, HTTPException, ValueError, LookupError)  # Patroni starts, or is away


@dataclass(frozen=True)
class Server:
    """This host's PostgreSQL, by Patroni's file."""

    name: str
    address: str  # Patroni's: host:port
    user: str
    password: str
    data: Path

    @classmethod
    def read(cls, file: Path) -> "Server":
        """Raises OSError, KeyError."""
        values = yaml.safe_load(file.read_text())
        api = values["restapi"]
        return cls(
            name=values["name"],
            address=api["connect_address"],
            user=api["authentication"]["username"],
            password=api["authentication"]["password"],
            data=Path(values["postgresql"]["data_dir"]),
        )

    def is_nearly_full(self) -> bool:
        """Returns whether the disk of the tables or that of the log is."""
        return any(_is_nearly_full(folder) for folder in (self.data, self.data / "pg_wal"))

    def is_primary(self) -> bool:
        return str(self._ask("/patroni")["role"]) in ("primary", "master")

    def successor(self) -> str:
        """Returns a standby that has every answered commit, or ""."""
        members = self._ask("/cluster")["members"]
        standbys = [each for each in members if each["role"] in ("quorum_standby", "sync_standby")]
        streaming = [each for each in standbys if each["state"] == "streaming"]
        return min((each["name"] for each in streaming), default="")

    def switch_over(self, successor: str) -> str:
        """Returns what Patroni answers. Raises OSError, and ValueError where it refuses."""
        fields = {"leader": self.name, "candidate": successor}
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}"}
        return self._send("POST", "/switchover", json.dumps(fields), headers)

    def _ask(self, path: str) -> Any:
        return json.loads(self._send("GET", path))

    def _send(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> str:
        connection = HTTPConnection(self.address, timeout=_PATIENCE_S if body else 5)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            if body and answer.status >= 300:  # of what is asked, a standby says 503, too
                raise ValueError(f"{answer.status} {text}")
            return text
        finally:
            connection.close()


def _is_nearly_full(folder: Path) -> bool:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    return free < min(LEAST_BYTES, LEAST_SHARE * disk.f_blocks * disk.f_frsize)


def look(server: Server) -> bool:
    """Move the primary away if it must be. Returns whether it was.

    Raises OSError, and ValueError where Patroni refuses: the next look tries again.
    """
    if not server.is_nearly_full() or not server.is_primary():
        return False
    if successor := server.successor():
        print(f"the disk of {server.name} is nearly full: {successor} takes over", flush=True)
        print(server.switch_over(successor), flush=True)
        return True
    print(f"the disk of {server.name} is nearly full, and no standby can take over", flush=True)
    return False


def main(file: Path) -> None:
    server = Server.read(file)
    while True:
        moved = False
        try:
            moved = look(server)
        except _FAILURES as problem:
            print(f"cannot look after the disk: {problem}", flush=True)
        time.sleep(REST_S if moved else LOOK_EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
