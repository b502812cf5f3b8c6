"""Which of several processes that share a port is at the other end of a connection."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from config.supervisor.ports import sockets_of
from tests.e2e.conftest import Platform
from tests.inference.chat.page import Socket


def web_behind(platform: Platform, our_port: int) -> int:
    """The pid of the web process that has the connection from this port of ours."""
    inode = _inode(platform.port, our_port)
    return next(pid for pid in platform.pids("web") if inode in sockets_of(pid))


def _inode(local: int, remote: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{local:04X}") and fields[2].endswith(f":{remote:04X}"):
            return f"socket:[{fields[9]}]"
    raise AssertionError(f"no connection from {remote} to {local}")


@contextmanager
def client_of_each(platform: Platform, key: str) -> Iterator[dict[int, httpx.Client]]:
    """By pid: a client for each web process, with one connection that it keeps."""
    headers, one = {"Authorization": f"Bearer {key}"}, httpx.Limits(max_connections=1)
    found: dict[int, httpx.Client] = {}
    with ExitStack() as stack:
        while len(found) < len(platform.pids("web")):
            client = httpx.Client(base_url=platform.url, headers=headers, limits=one, timeout=60)
            found.setdefault(_behind(platform, stack.enter_context(client)), client)
        yield found


def _behind(platform: Platform, client: httpx.Client) -> int:
    answer = client.get("/livez")
    where = answer.extensions["network_stream"].get_extra_info("client_addr")
    return web_behind(platform, where[1])


@contextmanager
def socket_of_each(platform: Platform, session: str, tenant: str) -> Iterator[dict[int, Socket]]:
    """By pid: a chat socket of one person to each web process."""
    found: dict[int, Socket] = {}
    opened: list[Socket] = []
    try:
        while len(found) < len(platform.pids("web")):
            opened.append(Socket(platform.url, session, tenant))
            found.setdefault(web_behind(platform, opened[-1].port), opened[-1])
        yield found
    finally:
        for socket in opened:
            socket.close()
