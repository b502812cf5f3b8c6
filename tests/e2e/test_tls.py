"""`FOREBAY_TLS=on`: web, websockets, gRPC and metrics, all in TLS 1.3 alone, and renewed as one."""

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.exceptions import InvalidStatus

from config.command import certificates
from config.supervisor.ports import find_free
from console.compliance.tls_probe import Port, probe_all
from tests import prepared
from tests.e2e.ask import eventually
from tests.e2e.conftest import Mock
from tests.inference.chat.page import Socket
from tests.supervisor.running import Running, environment_of

pytestmark = pytest.mark.e2e
PASSWORD = "a forebay holds the river"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, session_mock: Mock) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("tls") / "home"
    prepared.home(home)
    engine = {"kind": "openai", "url": f"http://127.0.0.1:{session_mock.port}/v1", "slots": 8}
    running = Running(
        home,
        FOREBAY_TLS="on",
        FOREBAY_GRPC_PORT=str(find_free()),
        FOREBAY_METRICS_PORT=str(find_free()),
        FOREBAY_ENGINES=json.dumps({"mock": engine}),
        FOREBAY_IP_PER_MINUTE="0",
        FOREBAY_MFA="optional",
    )
    yield running.ready()
    running.close()


@pytest.fixture
def trusting(running: Running) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(running.home / "tls" / "ca.crt"))


def ports(running: Running) -> list[Port]:
    listed = json.loads((running.home / "metrics" / "targets.json").read_text())
    found = [Port(each["labels"]["role"], *address(each["targets"][0])) for each in listed]
    assert {each["labels"]["__scheme__"] for each in listed} == {"https"}
    grpc = Port("gRPC", "127.0.0.1", int(running.told["FOREBAY_GRPC_PORT"]))
    return [Port("HTTP", "127.0.0.1", running.port), grpc, *found]


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def test_every_port_speaks_tls_1_3_alone(running: Running) -> None:
    """Of processes that inherit nothing: gRPC's TLS hangs on when a variable is set."""
    for process in (running.child("config.grpc_server"), running.child("config.web_server")):
        assert not any(line.startswith("GRPC_") for line in environment_of(process.pid))
    found = ports(running)
    assert {each.name for each in found} == {"HTTP", "gRPC", "web", "grpc", "jobs", "worker"}
    wanted = {each.name: "tls13" for each in found}
    eventually(lambda: probe_all(found) == wanted, 60)  # Celery's may still be starting


def test_what_it_says_to_paste_works(running: Running, mock: Mock) -> None:
    (said,) = [line for line in running.lines if line.startswith("curl ")]
    key = (running.home / prepared.BENCH_KEY).read_text()
    pasted = re.sub(r"Bearer [\w-]+", f"Bearer {key}", said)
    assert f"--cacert {running.home}/tls/ca.crt https://localhost:{running.port}/v1/" in pasted
    told: dict[str, Any] = json.loads(subprocess.check_output([*pasted_words(pasted)]))
    assert told["choices"][0]["message"]["content"]


def pasted_words(line: str) -> list[str]:
    return ["bash", "-c", line.replace("curl ", "curl -sS ", 1)]


def test_cookies_and_redirects_are_of_https(running: Running, trusting: ssl.SSLContext) -> None:
    url = f"https://localhost:{running.port}"
    with httpx.Client(base_url=url, verify=trusting) as browser:
        page = browser.get("/login/")
        assert "Secure" in page.headers["set-cookie"]
        away = browser.get("/console/").headers["location"]
        assert not away.startswith("http://")
    assert running.told["FOREBAY_PUBLIC_URL"] == url


@pytest.fixture(scope="module")
def operator(running: Running) -> httpx.Cookies:
    """Of the first one, who came by the link that was printed."""
    trusting = ssl.create_default_context(cafile=str(running.home / "tls" / "ca.crt"))
    (link,) = re.findall(r"https://\S+/welcome/\S+", "\n".join(running.lines))
    form = {"name": "Grace", "email": "grace@forebay.example", "password": PASSWORD}
    with httpx.Client(verify=trusting, headers={"referer": link}) as browser:
        (token,) = set(re.findall(r'csrfmiddlewaretoken" value="(\w+)"', browser.get(link).text))
        answer = browser.post(link, data={**form, "again": PASSWORD, "csrfmiddlewaretoken": token})
        assert answer.status_code == 302
        assert "strict-transport-security" not in answer.headers, "that of a host of its own"
        (session,) = [c for c in browser.cookies.jar if c.name == "forebay_session"]
        assert session.secure
        return browser.cookies


def test_a_chat_over_wss(
    running: Running, trusting: ssl.SSLContext, operator: httpx.Cookies, mock: Mock
) -> None:
    """The socket of the real web process, from the handshake to the last piece of an answer."""
    url = f"https://localhost:{running.port}"
    with closing(Socket(url, operator["forebay_session"], "demo", tls=trusting)) as socket:
        started = socket.send("What is a forebay?")
        assert started["type"] == "started", started
        assert socket.answer()
        assert socket.ended["finish_reason"]


async def test_websockets_of_own_pages(running: Running, trusting: ssl.SSLContext) -> None:
    url = f"wss://localhost:{running.port}/ws/chat/"
    assert await refused(url, trusting, f"http://localhost:{running.port}") == 403
    assert await refused(url, trusting, "https://elsewhere.example") == 403


async def refused(url: str, trusting: ssl.SSLContext, origin: Any) -> int:
    with pytest.raises(InvalidStatus) as answer:
        async with websockets.connect(url, ssl=trusting, origin=origin):
            pass
    return answer.value.response.status_code


def shown(running: Running) -> set[str]:
    context = ssl.create_default_context(cafile=str(running.home / "tls" / "ca.crt"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return {serial(context, each) for each in ports(running)}


def serial(context: ssl.SSLContext, port: Port) -> str:
    with (
        socket.create_connection((port.host, port.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return str((secured.getpeercert() or {})["serialNumber"])


def test_a_renewal_reaches_every_process(running: Running) -> None:
    (before,) = shown(running)
    certificates.certificates([f"--folder={running.home / 'tls'}", "renew", "--all"])
    eventually(lambda: before not in (new := shown(running)) and len(new) == 1, 60)


def test_when_they_end_is_among_the_metrics(running: Running, trusting: ssl.SSLContext) -> None:
    for port in ports(running)[2:]:
        text = httpx.get(f"https://localhost:{port.port}/metrics", verify=trusting).text
        assert 'forebay_certificate_not_after_seconds{certificate="metrics"}' in text
        if port.name in ("web", "grpc"):
            assert f'forebay_certificate_not_after_seconds{{certificate="{port.name}"}}' in text


def test_its_log_has_no_trace_of_keys(running: Running) -> None:
    private = (Path(running.home) / "tls" / "server.key").read_text().splitlines()[1]
    assert not any(private in log.read_text() for log in (running.home / "logs").glob("*.log"))
