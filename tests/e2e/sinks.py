"""Where a text may end up in clear: files, WAL, Valkey's memory and traffic, logs."""

import base64
import mmap
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import redis
from psycopg.conninfo import make_conninfo

from infrastructure.redis.servers import Servers, servers
from tests.e2e.conftest import Platform


def forms(marker: str) -> dict[str, bytes]:
    """How the marker may look: as it is, in hex, in base64 at each of three offsets."""
    raw = marker.encode()
    found = {"plain": raw, "hex": raw.hex().encode(), "utf-16": marker.encode("utf-16-le")}
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + raw).decode()
        certain = whole[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        found[f"base64+{offset}"] = certain.encode()
        found[f"base64url+{offset}"] = certain.translate(str.maketrans("+/", "-_")).encode()
    return found


def in_bytes(text: bytes, marker: str) -> list[str]:
    return [name for name, form in forms(marker).items() if form in text]


def in_files(folder: Path, marker: str) -> list[str]:
    """ "path: form" of everything found below a folder."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size:
            found += [f"{path.relative_to(folder)}: {form}" for form in _in_file(path, marker)]
    return found


def _in_file(path: Path, marker: str) -> list[str]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return [name for name, form in forms(marker).items() if text.find(form) >= 0]


def write_down(platform: Platform) -> None:
    """All that PostgreSQL and Valkey have in memory goes to their files."""
    with psycopg.connect(_as_administrator(platform), autocommit=True) as database:
        database.execute("checkpoint")
        database.execute("select pg_switch_wal()")
    valkey = redis.Redis.from_url(platform.running()["REDIS_URL"])
    valkey.config_set("rdbcompression", "no")
    valkey.save()
    valkey.close()


def _as_administrator(platform: Platform) -> str:
    password = (platform.home / "secrets" / "postgres.password").read_text().strip()
    return make_conninfo(platform.running()["DATABASE_URL"], user="postgres", password=password)


def memory(platform: Platform) -> bytes:
    """Every key of Valkey with its value, as DUMP and as commands show it."""
    valkey = redis.Redis.from_url(platform.running()["REDIS_URL"])
    parts = []
    for key in valkey.scan_iter(count=1000):
        parts += [key, valkey.dump(key) or b"", repr(_value(valkey, key)).encode()]
    valkey.close()
    return b"\n".join(parts)


def _value(valkey: Any, key: bytes) -> Any:
    kind = valkey.type(key)
    ask = {
        b"string": lambda: valkey.get(key),
        b"list": lambda: valkey.lrange(key, 0, -1),
        b"hash": lambda: valkey.hgetall(key),
        b"set": lambda: valkey.smembers(key),
        b"zset": lambda: valkey.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: valkey.xrange(key),
    }
    return ask[kind]() if kind in ask else None


class Traffic:
    """Every command that Valkey got: streams, queues, Celery's messages, channel layers."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    @property
    def text(self) -> bytes:
        return b"\n".join(self.lines)


@contextmanager
def overheard(platform: Platform) -> Iterator[Traffic]:
    valkey, traffic = servers(platform.running()["REDIS_URL"]), Traffic()
    link = _connected(valkey)
    link.sendall(f"AUTH {valkey.password}\r\nMONITOR\r\n".encode())

    def listen() -> None:
        while data := link.recv(1 << 20):
            traffic.lines.append(data)

    thread = Thread(target=listen)
    thread.start()
    try:
        yield traffic
    finally:
        link.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        link.close()
        traffic.lines = [b"".join(traffic.lines)]


def _connected(valkey: Servers) -> socket.socket:
    if not valkey.path:
        return socket.create_connection(valkey.address)
    link = socket.socket(socket.AF_UNIX)
    link.connect(valkey.path)
    return link
