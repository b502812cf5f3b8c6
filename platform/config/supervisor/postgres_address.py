"""Where the embedded PostgreSQL is reached: by a socket in its data folder.

Nobody but its user and ours may enter that folder, no port is open, and nothing crosses a network,
so that there is nothing to encrypt. A message costs a third less CPU than over 127.0.0.1.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from config.supervisor.ports import find_free
from config.supervisor.socket_files import can_be

RULES = ("local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256")
_PORT = 5432  # a part of the socket's name


@dataclass(frozen=True, slots=True)
class Address:
    port: int = _PORT
    folder: str = ""  # of the socket, if that is how

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
    if can_be(data / f".s.PGSQL.{_PORT}") and "," not in str(data):
        return Address(folder=str(data.absolute()))
    return at_port()


def at_port() -> Address:
    return Address(port=find_free())


def let_sockets_in(rules: Path) -> None:
    """Into a pg_hba.conf of an earlier version, which knew none."""
    told = rules.read_text(errors="replace")
    if RULES[0] not in told.splitlines():
        end = "" if told.endswith("\n") else "\n"  # of what somebody else has written
        with rules.open("a") as file:
            file.write(f"{end}{RULES[0]}\n")
