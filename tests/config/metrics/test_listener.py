"""/metrics over HTTP: who may read, and what it withstands."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings

from config.metrics import listener, process
from config.metrics.listener import AT_ONCE, Listener, listen
from config.supervisor.ports import find_free
from config.tls.authority import Authority, Files
from config.tls.served_certificates import Served

pytestmark = pytest.mark.unit


@asynccontextmanager
async def listening(
    token: str = "", tls: Callable[[], ssl.SSLContext] | None = None
) -> AsyncIterator[int]:
    port = find_free()
    serving = asyncio.create_task(Listener("127.0.0.1", port, token, tls).serve())
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.01)
        yield port
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def say(port: int, *lines: str, tls: ssl.SSLContext | None = None) -> str:
    host = "localhost" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=host)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        return (await asyncio.wait_for(reader.read(), 10)).decode()
    finally:
        writer.close()


async def get(
    port: int,
    *headers: str,
    path: str = "/metrics",
    method: str = "GET",
    tls: ssl.SSLContext | None = None,
) -> str:
    return await say(port, f"{method} {path} HTTP/1.1", "Host: here", *headers, tls=tls)


def trusting(folder: Path, client: Files | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


async def test_over_tls_1_3_alone(tmp_path: Path) -> None:
    server = Authority.make(tmp_path).server(["localhost"])
    served = Served("metrics", str(server.certificate), str(server.key))
    async with listening(tls=served.context) as port:
        assert (await get(port, tls=trusting(tmp_path))).startswith("HTTP/1.1 200")
        older = trusting(tmp_path)
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):
            await get(port, tls=older)
        with pytest.raises((AssertionError, OSError)):
            assert await get(port)


async def test_only_who_shows_a_certificate_may_read(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path / "own")
    server, client = authority.server(["localhost"]), authority.client("prometheus")
    stranger = Authority.make(tmp_path / "strange").client("mallory")
    clients = str(tmp_path / "own" / "ca.crt")
    served = Served("metrics", str(server.certificate), str(server.key), clients)
    async with listening(tls=served.context) as port:
        knows = trusting(tmp_path / "own", client)
        assert (await get(port, tls=knows)).startswith("HTTP/1.1 200")
        for other in (None, stranger):
            with pytest.raises((AssertionError, OSError)):
                assert await get(port, tls=trusting(tmp_path / "own", other))


async def test_a_probe_needs_no_token_and_is_told_nothing_but_whether(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_ready", False)
    (tmp_path / "token").write_text("secret")
    async with listening(str(tmp_path / "token")) as port:
        assert (await get(port, path="/livez")).startswith("HTTP/1.1 200 OK")
        assert (await get(port, path="/readyz")).startswith("HTTP/1.1 503 ")
        process.set_ready(it_is=True)
        assert (await get(port, path="/readyz")).endswith("\r\n\r\nready\n")
        process.set_ready(it_is=False)  # it has been told to end
        assert (await get(port, path="/readyz")).startswith("HTTP/1.1 503 ")


async def test_what_is_told_is_of_this_process() -> None:
    async with listening() as port:
        answer = await get(port)
        openmetrics = await get(port, "Accept: application/openmetrics-text; version=1.0.0")
    assert answer.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert "\nprocess_cpu_seconds_total " in answer
    assert "\nforebay_valkey_round_trip_seconds_count" in answer
    assert "Content-Type: application/openmetrics-text; version=1.0.0" in openmetrics
    assert openmetrics.endswith("# EOF\n")


async def test_only_who_has_the_token_may_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret-1\n")
    async with listening(str(file)) as port:
        assert (await get(port, "Authorization: Bearer secret-1")).startswith("HTTP/1.1 200")
        for wrong in ("Bearer secret", "Basic secret-1", "Bearer ", "secret-1", "Bearer schlüssel"):
            assert (await get(port, f"Authorization: {wrong}")).startswith("HTTP/1.1 401"), wrong
        assert "WWW-Authenticate: Bearer" in await get(port)
        file.write_text("secret-2")  # exchanged while it runs
        assert (await get(port, "Authorization: Bearer secret-1")).startswith("HTTP/1.1 401")
        assert (await get(port, "Authorization: Bearer secret-2")).startswith("HTTP/1.1 200")
        file.write_text("")
        assert (await get(port, "Authorization: Bearer ")).startswith("HTTP/1.1 401")
        file.unlink()
        assert (await get(port, "Authorization: Bearer ")).startswith("HTTP/1.1 401")


async def test_other_paths_methods_and_no_http() -> None:
    async with listening() as port:
        assert (await get(port, path="/")).startswith("HTTP/1.1 404")
        assert (await get(port, path="/metrics?name[]=x")).startswith("HTTP/1.1 200")
        assert "Allow: GET" in await get(port, method="POST")
        assert (await say(port, "\x16\x03\x01")).startswith("HTTP/1.1 404")
        assert (await get(port, f"X-Long: {'x' * 20_000}")).startswith("HTTP/1.1 400")


async def test_who_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "EXCHANGE_S", 0.2)
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HT")
        assert await _end(reader) == b""
        writer.close()
        monkeypatch.setattr(listener, "EXCHANGE_S", 10)  # a busy machine may take long
        assert (await get(port)).startswith("HTTP/1.1 200")


async def _end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""


async def test_scrapes_at_once_are_bounded() -> None:
    async with listening() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(AT_ONCE)]
        assert (await get(port)).startswith("HTTP/1.1 503")
        for _, writer in held:
            writer.close()
        assert (await _until(lambda: get(port), "HTTP/1.1 200")).startswith("HTTP/1.1 200")


async def _until(ask: Callable[[], Awaitable[str]], begins: str) -> str:
    async with asyncio.timeout(10):
        while not (answer := await ask()).startswith(begins):
            await asyncio.sleep(0.01)
    return answer


async def test_what_cannot_be_written_is_an_error_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise RuntimeError("canary")

    async with listening() as port:
        monkeypatch.setattr(listener, "before_each", [broken])
        answer = await get(port)
        assert answer.startswith("HTTP/1.1 500")
        assert "canary" not in answer
        monkeypatch.setattr(listener, "before_each", [])
        assert (await get(port)).startswith("HTTP/1.1 200")


async def test_a_port_that_somebody_else_has_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "AGAIN_S", 0.05)
    other = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    serving = asyncio.create_task(Listener("127.0.0.1", port).serve())
    await asyncio.sleep(0)
    other.close()
    await other.wait_closed()

    async def ask() -> str:
        try:
            return await get(port)
        except OSError:
            return ""

    assert await _until(ask, "HTTP/1.1 200")
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def test_it_is_off_by_default(settings: LazySettings) -> None:
    def never(_: Listener) -> None:
        raise AssertionError

    assert settings.METRICS_PORT == 0
    listen(never)
