"""An engine whose certificate is wrong gets no request, and operators are told what is wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inference.engines.base import AnswerBroken, EngineAway
from inference.engines.health import reachability
from inference.engines.transport.session import EngineSession
from infrastructure import outgoing_tls
from tests.inference.api.grpc.certificates import Authority, Signed
from tests.inference.engines.served import an_engine, heard
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class TlsServer:
    def __init__(self) -> None:
        self.read = b""  # once TLS was agreed
        self.url = ""

    @asynccontextmanager
    async def running(
        self,
        signed: Signed,
        *,
        clients: Signed | None = None,
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> AsyncIterator["TlsServer"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed.certificate, signed.key)
        context.maximum_version = newest
        if clients:
            context.load_verify_locations(clients.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.read += await reader.read(65536)
        writer.write(ANSWER)
        writer.close()


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    yield
    reachability._down.clear()
    reachability._causes.clear()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Which this machine trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("FOREBAY_TLS_CA", str(made.own.certificate))
    return made


async def is_refused(signed: Signed, because: str) -> None:
    async with TlsServer().running(signed) as server, EngineSession() as session:
        engine = an_engine(server.url)
        with pytest.raises(EngineAway) as away:
            await heard(engine, session, an_order())
        assert because in away.value.cause
        assert "localhost" not in away.value.message, "operators are told, not clients"
        await reachability.look([engine])
        assert because in reachability.silent_because("smol")
        assert server.read == b""


async def test_signed_by_itself_or_a_stranger(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path, "stranger")
    await is_refused(stranger.sign("engine"), "certificate is not accepted: unable to get local")
    await is_refused(stranger.own, "certificate is not accepted: self-signed certificate")


async def test_of_another_host(authority: Authority) -> None:
    signed = authority.sign("engine", host="gpu-1.example.com")
    await is_refused(signed, "certificate is not accepted: Hostname mismatch")


async def test_of_yesterday(authority: Authority) -> None:
    signed = authority.sign("engine", days=-1)
    await is_refused(signed, "certificate is not accepted: certificate has expired")


async def test_one_that_is_right(authority: Authority) -> None:
    async with TlsServer().running(authority.sign("engine")) as server:
        engine = an_engine(server.url)
        await reachability.look([engine])
        assert reachability.silent_because("smol") == ""
        async with EngineSession() as session:
            await heard(engine, session, an_order())
        assert b"Say something" in server.read


async def test_a_server_without_tls() -> None:
    async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(speaks_http, "127.0.0.1", 0)
    async with server, EngineSession() as session:
        engine = an_engine(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(EngineAway) as away:
            await heard(engine, session, an_order())
    assert away.value.cause.startswith("no TLS: ")


async def test_nobody_there(session: EngineSession) -> None:
    with pytest.raises(EngineAway) as away:
        await heard(an_engine("http://127.0.0.1:9"), session, an_order())
    assert away.value.cause == "no connection: connection refused"


async def works(server: TlsServer) -> bool:
    engine = an_engine(server.url)
    await reachability.look([engine])
    looked = reachability.silent_because("smol") == ""
    try:
        async with EngineSession() as session:
            await heard(engine, session, an_order())
    except (EngineAway, AnswerBroken):
        return False
    return looked


async def test_an_engine_that_asks_for_ours(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mTLS, by files of that host; renewed by replacing them."""
    clients = Authority(tmp_path, "clients")
    peer = tmp_path / "peers" / "localhost"
    peer.mkdir(parents=True)
    monkeypatch.setenv("FOREBAY_TLS_PEERS", str(peer.parent))
    async with TlsServer().running(authority.sign("engine"), clients=clients.own) as server:
        assert not await works(server)
        for signed in (authority.sign("wrong"), clients.sign("forebay")):
            (peer / "tls.crt").write_bytes(signed.certificate.read_bytes())
            (peer / "tls.key").write_bytes(signed.key.read_bytes())
            assert await works(server) == (signed.certificate.stem == "forebay")
        (peer / "tls.key").write_text("half")
        assert await works(server), "half a renewal keeps what was there"


async def test_an_engine_of_its_own_authority_alone(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = tmp_path / "peers" / "localhost"
    peer.mkdir(parents=True)
    other = Authority(tmp_path, "other")
    (peer / "ca.crt").write_bytes(other.own.certificate.read_bytes())
    monkeypatch.setenv("FOREBAY_TLS_PEERS", str(peer.parent))
    async with TlsServer().running(other.sign("engine")) as server:
        assert await works(server)
    async with TlsServer().running(authority.sign("engine")) as server:
        assert not await works(server), "whom all others may be signed by does not hold for it"


async def test_how_old_a_version_may_be(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed, old = authority.sign("engine"), ssl.TLSVersion.TLSv1_2
    async with TlsServer().running(signed, newest=old) as server:
        monkeypatch.setenv("FOREBAY_TLS", "on")
        assert not await works(server)
        assert reachability.silent_because("smol") != ""
        monkeypatch.setenv("FOREBAY_TLS_OUTGOING", "1.2")
        assert await works(server)


async def test_files_that_are_wrong_from_the_start(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.crt"
    broken.write_text("half")
    monkeypatch.setenv("FOREBAY_TLS_CA", str(broken))
    outgoing_tls._last.clear()
    async with TlsServer().running(authority.sign("engine")) as server, EngineSession() as session:
        with pytest.raises(EngineAway) as away:
            await heard(an_engine(server.url), session, an_order())
        assert "the files of TLS for localhost" in away.value.cause
