"""`rediss` in every client of ours, against a real Redis that speaks TLS alone."""

import asyncio
import gc
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.supervisor.ports import find_free
from config.tls.authority import Authority
from console.compliance.tls_probe import Port, probe
from infrastructure.redis.cluster_link import ClusterLink
from infrastructure.redis.link import RedisGone, RedisLink
from infrastructure.redis.servers import async_client, celery_broker, channels_host, client
from tests.e2e.ask import eventually

SERVER = shutil.which("redis-server")
pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not SERVER, reason="no redis-server with TLS: apt-get install redis-server"),
]
# redis-py leaves connections to sentinels and nodes to the garbage collector.
pytestmark += [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
PASSWORD = "se/cret"
QUOTED = "se%2Fcret"


class Tls:
    """An authority, the server's certificate, and one that clients have to show."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority.make(folder / "tls")
        self.server = authority.server(["localhost", "127.0.0.1"])
        self.client = authority.client("forebay")
        self.authority = folder / "tls" / "ca.crt"

    @contextmanager
    def redis(self, *lines: str, sentinel: bool = False) -> Iterator[int]:
        port = find_free()
        folder = self.folder / str(port)
        folder.mkdir()
        told = [f"tls-port {port}", "port 0", f"tls-ca-cert-file {self.authority}", "save ''"]
        told += [f"tls-cert-file {self.server.certificate}", f"tls-key-file {self.server.key}"]
        told += ["tls-replication yes", f"dir {folder}", f"requirepass {PASSWORD}", *lines]
        if not any(line.startswith("tls-auth-clients") for line in told):
            told.append("tls-auth-clients no")
        config = folder / "redis.conf"
        config.write_text("\n".join(told).replace("save ''", "" if sentinel else 'save ""') + "\n")
        command = [str(SERVER), str(config), *(["--sentinel"] if sentinel else [])]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: self._answers(port), 20)
                yield port
            finally:
                process.kill()

    def _answers(self, port: int) -> bool:
        told: dict[str, Any] = {
            "ssl_ca_certs": str(self.authority),
            "ssl_certfile": str(self.client.certificate),
        }
        try:
            asked = redis.Redis(
                "127.0.0.1", port, ssl=True, ssl_keyfile=str(self.client.key), **told
            )
            asked.set_retry(Retry(NoBackoff(), 0))
            with asked:
                return bool(asked.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("redis-tls"))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def trusting(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    """Whom the platform trusts, and what it shows to `localhost`."""
    peer = tmp_path / "localhost"
    peer.mkdir()
    (peer / "tls.crt").symlink_to(tls.client.certificate)
    (peer / "tls.key").symlink_to(tls.client.key)
    monkeypatch.setenv("FOREBAY_TLS_PEERS", str(tmp_path))
    monkeypatch.setenv("FOREBAY_TLS_CA", str(tls.authority))
    monkeypatch.setenv("FOREBAY_TLS_OUTGOING", "1.3")
    return tls


@pytest.fixture(scope="module")
def port(tls: Tls) -> Iterator[int]:
    with tls.redis("tls-protocols TLSv1.3", "tls-auth-clients yes") as port:
        yield port


@pytest.fixture(scope="module")
def watched(tls: Tls) -> Iterator[str]:
    """The URL of a primary that a sentinel watches."""
    with ExitStack() as running:
        primary = running.enter_context(tls.redis())
        watch = [f"sentinel monitor forebay 127.0.0.1 {primary} 1"]
        watch += [f"sentinel auth-pass forebay {PASSWORD}"]
        sentinel = running.enter_context(tls.redis(*watch, sentinel=True))
        yield (
            f"rediss+sentinel://:{QUOTED}@127.0.0.1:{sentinel}/forebay/0?sentinel_password={QUOTED}"
        )


async def every_client_works(url: str) -> None:
    await asyncio.to_thread(_plain, url)
    async with async_client(url, socket_timeout=5) as asked:
        assert await asked.ping()
    link = RedisLink(url)
    try:
        assert await link.call("SET", "tls:link", "1") == b"OK"
    finally:
        link.close()
    layer = RedisPubSubChannelLayer(hosts=[channels_host(url)])
    name = await layer.new_channel()
    await layer.send(name, {"type": "hello"})
    assert await asyncio.wait_for(layer.receive(name), 10) == {"type": "hello"}
    await layer.flush()


def _plain(url: str) -> None:
    with client(url, socket_timeout=5) as asked:
        assert asked.ping()
    broker = celery_broker(url)
    app = Celery("tls", broker=broker.url)
    app.conf.update(broker_transport_options=broker.options, broker_use_ssl=broker.tls)
    with app.connection() as connection, connection.SimpleQueue("tls") as queue:
        queue.put("wake up")
        assert queue.get(timeout=10).payload == "wake up"


async def test_one_server_that_asks_for_a_certificate(
    port: int, trusting: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"rediss://:{QUOTED}@localhost:{port}/0"
    await every_client_works(url)
    assert await asyncio.to_thread(probe, Port("Redis", "127.0.0.1", port, "redis")) == "tls13"
    monkeypatch.delenv("FOREBAY_TLS_PEERS")
    assert refused(url)
    assert await link_refused(url)


async def test_behind_sentinels(watched: str, trusting: Tls) -> None:
    await every_client_works(watched)


async def test_a_cluster(trusting: Tls) -> None:
    bus = f"cluster-port {find_free()}"  # else 10,000 above the other, which may be taken
    with trusting.redis("cluster-enabled yes", "tls-cluster yes", bus) as port:
        url = f"rediss+cluster://:{QUOTED}@127.0.0.1:{port}"
        async with async_client(url) as asked:
            node: Any = asked
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in await node.execute_command("CLUSTER", "INFO"):
                await asyncio.sleep(0.1)
        link = ClusterLink(url)
        try:
            assert await link.call("SET", "tls:key", "1") == b"OK"
        finally:
            link.close()
        with client(url) as asked:
            assert asked.get("tls:key") == b"1"


def refused(url: str) -> str:
    with pytest.raises(redis.RedisError) as problem, client(url, socket_timeout=5) as asked:
        asked.ping()
    return str(problem.value)


async def link_refused(url: str) -> str:
    link = RedisLink(url)
    try:
        with pytest.raises(RedisGone) as problem:
            await link.call("PING")
    finally:
        link.close()
    return str(problem.value)


async def test_a_server_that_nobody_vouches_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREBAY_TLS_CA", raising=False)
    url = f"rediss://:{QUOTED}@localhost:{port}"
    assert "certificate verify failed" in refused(url)
    assert "certificate verify failed" in await link_refused(url)


async def test_another_name_and_an_older_version(
    trusting: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trusting.redis("tls-protocols TLSv1.2", "bind 127.0.0.1 127.0.0.2") as old:
        url = f"rediss://:{QUOTED}@localhost:{old}"
        assert refused(url)
        assert await link_refused(url)
        by_other_name = f"rediss://:{QUOTED}@127.0.0.2:{old}"
        monkeypatch.setenv("FOREBAY_TLS_OUTGOING", "1.2")
        with client(url) as asked:
            assert asked.ping(), "older versions need the word of the operator"
        assert "mismatch" in refused(by_other_name)
        assert "mismatch" in await link_refused(by_other_name)
