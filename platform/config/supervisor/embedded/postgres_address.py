"""The embedded PostgreSQL's address: a socket in its data folder, or else a port of 127.0.0.1.

Only its user and ours may enter that folder, no port is open, and nothing crosses a network, so
that there is nothing to encrypt. A message costs a third less CPU than over 127.0.0.1.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from config.supervisor.ports import can_bind, find_free

_PORT_RULE = "host all all 127.0.0.1/32 scram-sha-256"
# `replication` is what pg_basebackup asks for; `all` does not include it.
_LATER_RULES = (
    "local all all scram-sha-256",
    "local replication postgres scram-sha-256",
    "host replication postgres 127.0.0.1/32 scram-sha-256",
)
RULES = (_PORT_RULE, *_LATER_RULES)
_PORT = 5432  # a part of the socket's name


@dataclass(frozen=True, slots=True)
class Address:
    port: int = _PORT
    folder: str = ""  # of the socket; "" for a port

    def url(self, role: str, password: str) -> str:
        if not self.folder:
            return f"postgres://{role}:{password}@127.0.0.1:{self.port}/forebay"
        where = f"host={quote(self.folder, safe='/')}&port={self.port}"
        return f"postgres://{role}:{password}@/forebay?{where}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "listen_addresses": "" if self.folder else "127.0.0.1",
            "unix_socket_directories": self.folder,
            "unix_socket_permissions": "0700",
        }


def address(data: Path) -> Address:
    # PostgreSQL takes a list of folders, with commas in between.
    if can_bind(data / f".s.PGSQL.{_PORT}") and "," not in str(data):
        return Address(folder=str(data.absolute()))
    return at_port()


def at_port() -> Address:
    return Address(port=find_free())


def add_missing_rules(file: Path) -> None:
    """Add the rules for sockets and base backups to a pg_hba.conf of an earlier version."""
    text = file.read_text(errors="replace")
    missing = [rule for rule in _LATER_RULES if rule not in text.splitlines()]
    if missing:
        end = "" if text.endswith("\n") else "\n"  # an operator may have edited the file
        with file.open("a") as rules:
            rules.write(end + "\n".join(missing) + "\n")
