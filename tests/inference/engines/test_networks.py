"""Where an engine may be: checked as it is made and at each connection, whatever its name says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest

from config import environment
from inference.engine_entries import EngineEntry
from inference.engines import built
from inference.engines.base import Engine, EngineAway
from inference.engines.health import reachability
from inference.engines.transport.failure_reason import NO_ANSWER
from inference.engines.transport.session import EngineSession
from infrastructure import networks
from tests.inference.engines.served import heard
from tests.inference.orders import an_order

NAME = "gpu-1.example"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Listener:
    """Counts who connects to it, at an address of loopback."""

    def __init__(self) -> None:
        self.connections, self.port = 0, 0

    @asynccontextmanager
    async def at(self, address: str, port: int = 0) -> AsyncIterator["Listener"]:
        server = await asyncio.start_server(self._serve, address, port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read(65536)
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@pytest.fixture(autouse=True)
def _nothing_known() -> Any:
    yield
    reachability._down.clear()
    reachability._causes.clear()


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says what the name means from now on."""

    def says(address: str) -> None:
        info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))

        async def looked_up(_loop: Any, _host: Any, port: Any, **_: Any) -> Any:
            return [(*info[:4], (address, port))]

        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [info])
        monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", looked_up)

    return says


def an_engine(url: str, *, hosted: bool = False, from_file: bool = True) -> Engine:
    fields = {"kind": "openai", "url": url, "hosted": hosted}
    return built(EngineEntry("smol", "smol", "smol", fields, from_file=from_file))


@pytest.mark.unit
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "fd12::7"],
)
def test_an_address_of_ours_is_right_for_every_engine(address: str) -> None:
    assert not networks.refusal_reason(address, hosted=False)
    assert not networks.refusal_reason(address, hosted=True)


@pytest.mark.unit
@pytest.mark.parametrize("address", ["8.8.8.8", "100.64.0.1", "172.32.0.1", "2001:db8::1"])
def test_an_address_outside_is_for_hosted_engines_only(address: str) -> None:
    assert "FOREBAY_INTERNAL_NETWORKS" in networks.refusal_reason(address, hosted=False)
    assert not networks.refusal_reason(address, hosted=True)


@pytest.mark.unit
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
    ],
)
def test_no_engine_is_link_local_or_a_metadata_service(settings: Any, address: str) -> None:
    settings.INTERNAL_NETWORKS = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    for hosted in (False, True):
        assert "link-local" in networks.refusal_reason(address, hosted=hosted)


@pytest.mark.unit
@pytest.mark.parametrize(
    "url", ["http://2852039166/v1", "http://0xa9fea9fe/", "http://169.254.43518/", "http://0/"]
)
def test_an_address_in_another_notation_is_the_same_address(url: str) -> None:
    assert "link-local" in networks.url_refusal_reason(url, hosted=True)


@pytest.mark.unit
def test_the_networks_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_INTERNAL_NETWORKS", "203.0.113.0/24, 2001:db8::/32")
    found = environment.networks("FOREBAY_INTERNAL_NETWORKS", environment.OWN_NETWORKS)
    assert list(map(str, found)) == ["203.0.113.0/24", "2001:db8::/32"]
    monkeypatch.setenv("FOREBAY_INTERNAL_NETWORKS", "10.1.0.7/16")
    with pytest.raises(SystemExit, match="FOREBAY_INTERNAL_NETWORKS must be like"):
        environment.networks("FOREBAY_INTERNAL_NETWORKS", environment.OWN_NETWORKS)


async def test_a_name_that_means_another_address_later_is_not_followed(
    settings: Any, means: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was right when the engine was made; no request and no look goes to where it points now."""
    settings.INTERNAL_NETWORKS = (ip_network("127.0.0.1/32"),)
    async with Listener().at("127.0.0.1") as ours, Listener().at("127.0.0.2", ours.port) as other:
        url = f"http://{NAME}:{ours.port}/v1"
        engine = an_engine(url)
        means("127.0.0.1")
        assert not networks.url_refusal_reason(url, hosted=False)
        async with EngineSession() as session:
            assert await engine.answers(session)
            await engine.answer(session, an_order())
        assert (ours.connections, other.connections) == (2, 0)
        means("127.0.0.2")
        assert "FOREBAY_INTERNAL_NETWORKS" in networks.url_refusal_reason(url, hosted=False)
        async with EngineSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await engine.answers(session)
            with pytest.raises(EngineAway) as away:
                await heard(engine, session, an_order())
        assert "FOREBAY_INTERNAL_NETWORKS" in away.value.cause
        assert (ours.connections, other.connections) == (2, 0)
        async with EngineSession() as session:
            await an_engine(url, hosted=True).answer(session, an_order())
        assert other.connections == 1, "a hosted engine may be there"


async def test_a_connection_of_a_hosted_engine_does_not_serve_one_of_ours(settings: Any) -> None:
    settings.INTERNAL_NETWORKS = (ip_network("127.0.0.1/32"),)
    async with Listener().at("127.0.0.2") as other, EngineSession() as session:
        url = f"http://127.0.0.2:{other.port}/v1"
        await an_engine(url, hosted=True).answer(session, an_order())
        with pytest.raises(EngineAway):
            await an_engine(url).answer(session, an_order())


async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_operators_cannot_tell_open_and_closed_ports_apart() -> None:
    """Of an engine whose address an operator chose; of FOREBAY_ENGINES the reason is shown."""
    reasons: dict[bool, set[str]] = {True: set(), False: set()}
    speaks_no_http = await asyncio.start_server(mute, "127.0.0.1", 0)
    open_port = speaks_no_http.sockets[0].getsockname()[1]
    async with speaks_no_http:
        for from_file in (True, False):
            for url in ("http://127.0.0.1:9", *(f"{s}://127.0.0.1:{open_port}" for s in _SCHEMES)):
                await reachability.look([an_engine(url, from_file=from_file)])
                reasons[from_file].add(reachability.silent_because("smol"))
    assert reasons[False] == {NO_ANSWER}
    assert len(reasons[True]) > 1


_SCHEMES = ("http", "https")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("cause", "shown"),
    [
        ("it answered 500", True),
        ("it says that it is in trouble", True),
        ("its address is outside FOREBAY_INTERNAL_NETWORKS: such an engine must be hosted", True),
        ("no connection: connection refused", False),
        ("no connection: timed out", False),
        ("no TLS: wrong version number", False),
        ("its certificate is not accepted: self-signed certificate", False),
        ("it broke off an answer", False),
        ("it did not answer in time", False),
        ("it did not answer within 2 s", False),
        ("it holds connections and says nothing", False),
    ],
)
def test_what_operators_read_of_an_address_that_one_chose(cause: str, shown: bool) -> None:
    ours, theirs = an_engine("http://a"), an_engine("http://a", from_file=False)
    assert ours.shown_cause(cause) == cause
    assert theirs.shown_cause(cause) == (cause if shown else NO_ANSWER)
