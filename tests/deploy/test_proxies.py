"""The proxies that we ship or show: what they let through, how long they wait, what they ask."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml

from config.environment import PROJECT, number
from config.supervisor.ports import find_free
from tests.e2e.ask import eventually

pytestmark = pytest.mark.unit
HAPROXY = PROJECT / "deploy" / "compose" / "haproxy.cfg"
NGINX = (PROJECT / "docs" / "examples" / "nginx.conf").read_text()
CLIENT = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
needs_haproxy = pytest.mark.skipif(not shutil.which("haproxy"), reason="needs Debian's haproxy")
needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="needs Debian's nginx-light")


class Web:
    """Says of each request what has come of it."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                lines = [f"{name.lower()}: {value}" for name, value in self.headers.items()]
                body = "\n".join(lines).encode()
                self.send_response(200 if self.path != "/readyz" else 503)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_OPTIONS = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]


@pytest.fixture
def web() -> Iterator[Web]:
    served = Web()
    yield served
    served.server.shutdown()
    served.server.server_close()


@contextmanager
def running(*command: str, port: int, **variables: str) -> Iterator[httpx.Client]:
    process = subprocess.Popen(command, env=os.environ | variables)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: _answers(client), 30)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def haproxy(folder: Path, web: Web, tls_proxy: str) -> Iterator[httpx.Client]:
    port = find_free()
    shipped = HAPROXY.read_text()
    servers = r"server-template web 16 web-front:8000 check (.*) resolvers compose .*"
    text, count = re.subn(servers, rf"server web 127.0.0.1:{web.port} check \1", shipped)
    assert count == 1
    (folder / "haproxy.cfg").write_text(text.replace("bind :8000", f"bind 127.0.0.1:{port}"))
    command = ("haproxy", "-db", "-f", str(folder / "haproxy.cfg"))
    with running(*command, port=port, TLS_PROXY=tls_proxy) as client:
        yield client


def _sent(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}: (.*)$", text, re.M)


@needs_haproxy
def test_haproxy_lets_no_client_write_who_it_is(tmp_path: Path, web: Web) -> None:
    with haproxy(tmp_path, web, "192.0.2.1") as client:
        came = client.get("/", headers=CLIENT).text
        assert _sent(came, "x-forwarded-for") == ["127.0.0.1"]
        assert _sent(came, "x-forwarded-proto") == ["http"]


@needs_haproxy
def test_haproxy_passes_on_what_the_named_proxy_before_it_says(tmp_path: Path, web: Web) -> None:
    with haproxy(tmp_path, web, "127.0.0.1") as client:
        came = client.get("/", headers=CLIENT).text
        assert _sent(came, "x-forwarded-for") == ["198.51.100.7", "127.0.0.1"]
        assert _sent(came, "x-forwarded-proto") == ["https"]


@needs_haproxy
def test_haproxy_keeps_web_processes_whose_engines_are_down(tmp_path: Path, web: Web) -> None:
    """`/readyz` would be a 503 then, and HAProxy's own 503 would stand before every page."""
    with haproxy(tmp_path, web, "192.0.2.1") as client:
        eventually(lambda: "/readyz?without=engines" in web.asked, 30)
        assert client.get("/").status_code == 200
        assert "/readyz" not in web.asked


def test_no_proxy_cuts_an_answer_that_the_platform_allows() -> None:
    deadline = number("FOREBAY_REQUEST_DEADLINE_S", 600)
    waits = re.findall(r"^ *timeout (?:server|client) (\d+)s$", HAPROXY.read_text(), re.M)
    waits += re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", NGINX)
    assert len(waits) == 4
    assert all(int(seconds) > deadline for seconds in waits)


@pytest.mark.parametrize("folder", ["deploy", "docs"])
def test_nothing_that_sends_people_asks_whether_engines_answer(folder: str) -> None:
    """Health checks of proxies and readiness probes of pods: the console is needed most then."""
    probes = r"httpchk GET (\S+)|health_uri (\S+)|path: (/readyz\S*)\n +port: http\b"
    found = {
        next(filter(None, match))
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and path.suffix in (".cfg", ".yaml", ".md")
        for match in re.findall(probes, path.read_text())
    }
    assert found <= {"/readyz?without=engines"}
    assert found or folder == "docs"


@needs_nginx
def test_the_example_of_nginx_lets_no_client_write_who_it_is(tmp_path: Path, web: Web) -> None:
    shown = NGINX
    certificate, key = tmp_path / "forebay.crt", tmp_path / "forebay.key"
    subject = ("-subj", "/CN=forebay.example.com", "-days", "1")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject)
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    port = find_free()
    for old, new in {
        "/etc/nginx/": f"{tmp_path}/",
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "127.0.0.1:8000": f"127.0.0.1:{web.port}",
    }.items():
        assert old in shown
        shown = shown.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    head = f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}"
    (tmp_path / "nginx.conf").write_text(f"{head} http {{ access_log off; {folders} {shown} }}")
    command = ("nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr")
    with running(*command, port=port) as client:
        came = client.get("/", headers=CLIENT).text
        assert _sent(came, "x-forwarded-for") == ["127.0.0.1"]
        assert _sent(came, "x-forwarded-proto") == ["http"]


def test_compose_reads_the_haproxy_that_is_tested_here() -> None:
    compose = yaml.safe_load((HAPROXY.parent / "compose.yaml").read_text())
    assert compose["configs"]["haproxy"]["file"] == f"./{HAPROXY.name}"
