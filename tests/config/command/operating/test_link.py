"""The way from a command to the platform: the key, the address, TLS, the rate."""

import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from config.command.command_line import SUBCOMMANDS
from config.command.operating import api_client, limits
from config.tls.authority import Authority
from infrastructure import outgoing_tls
from tenants.models import OperatorKey
from tenants.models.tier import LIMITS
from tests.config.command.operating.conftest import Forebay

KEY = "sk-fbop-000000000000-of-nobody-000000"
OPERATING = (
    *("adapters", "aliases", "engines", "jobs", "limits", "models"),
    *("people", "policies", "pools", "prices"),
)
Reply = tuple[int, dict[str, str], bytes]
Serve = Callable[..., str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """`serve(reply, reply)` answers one after the other, the last for ever; its address."""
    servers = list[HTTPServer]()

    def served(*replies: Reply, context: ssl.SSLContext | None = None) -> str:
        waiting = list(replies)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = waiting.pop(0) if waiting[1:] else waiting[0]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"{'https' if context else 'http'}://localhost:{server.server_port}"

    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", KEY)
    monkeypatch.delenv("FOREBAY_TLS_CA", raising=False)
    yield served
    for server in servers:
        server.shutdown()
        server.server_close()


TIER = {"tier": "vip", "weight": 4, **dict.fromkeys(LIMITS, 0)}
GOOD: Reply = (200, {}, json.dumps({"results": [TIER]}).encode())


def ask(forebay: Forebay, monkeypatch: pytest.MonkeyPatch, url: str, *more: str) -> Any:
    monkeypatch.setenv("FOREBAY_URL", url)
    return forebay("limits list", *more)


# The key -----------------------------------------------------------------------------------------
@pytest.mark.unit
@pytest.mark.parametrize("name", sorted({*OPERATING} - {"people"}))  # with a key of the tenant
def test_no_command_takes_the_key_as_an_argument(forebay: Forebay, name: str) -> None:
    text = forebay(f"{name} --help").out
    assert "FOREBAY_OPERATOR_KEY" in text
    for option in ("--key", "--operator-key", "--token"):
        assert forebay(f"{name} list {option} {KEY}").status == 2


@pytest.mark.unit
def test_these_are_all_of_them() -> None:
    operating = {n for n, each in SUBCOMMANDS.items() if ".operating." in each.module}
    assert operating == set(OPERATING)


@pytest.mark.unit
def test_without_a_key_it_says_where_one_comes_from(
    forebay: Forebay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    ended = forebay("engines list")
    assert (ended.status, ended.out) == (2, "")
    assert "set FOREBAY_OPERATOR_KEY or FOREBAY_OPERATOR_KEY_FILE" in ended.err
    assert "in the console, under Operator keys" in ended.err


def test_the_key_comes_from_a_file_too(
    forebay: Forebay, key: OperatorKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(os.environ["FOREBAY_OPERATOR_KEY"] + "\n")
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY")
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY_FILE", str(file))
    file.chmod(0o644)
    open_to_all = forebay("limits list")
    assert open_to_all.status == 2
    assert "everybody may read" in open_to_all.err
    file.chmod(0o600)
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY_FILE", str(file))
    assert forebay("limits list").status == 0
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY")


def test_a_key_that_has_ended_is_said_to_have(forebay: Forebay, key: OperatorKey) -> None:
    key.revoke(by="test")
    ended = forebay("engines list")
    assert (ended.status, ended.out) == (1, "")
    assert "it is wrong or has ended: an operator makes one in the console" in ended.err


def test_a_scope_that_is_missing_is_named(forebay: Forebay, key: OperatorKey) -> None:
    OperatorKey.objects.update(scopes=["prices:read"])
    ended = forebay("engines list")
    assert ended == (1, "", "forebay engines: This operator key lacks the scope engines:read.\n")


@pytest.mark.unit
@pytest.mark.parametrize("url", ["forebay.example.com", "ftp://forebay.example.com", "https://"])
def test_an_address_that_is_none_is_refused(
    forebay: Forebay, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", KEY)
    assert ask(forebay, monkeypatch, url).status == 2


@pytest.mark.unit
def test_a_password_in_the_address_is_refused_and_not_repeated(
    forebay: Forebay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", KEY)
    ended = ask(forebay, monkeypatch, "http://me:hunter2@127.0.0.1:1")
    assert (ended.status, ended.out) == (2, "")
    assert "takes no user name and no password" in ended.err
    assert "hunter2" not in ended.err


@pytest.mark.unit
def test_the_key_leaves_this_machine_over_tls_alone(
    forebay: Forebay, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = list[str]()
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", KEY)
    monkeypatch.setattr(api_client.ApiClient, "send", lambda self, method, path: sent.append(path))
    for far in ("forebay.example.com", "x.localhost", "127.0.0.1.example.com", "localhost."):
        ended = ask(forebay, monkeypatch, f"http://{far}")
        assert (ended.status, sent) == (2, []), far
        assert "would cross the network in clear" in ended.err
    with pytest.raises(AttributeError):  # it has been sent; there is no answer here
        ask(forebay, monkeypatch, "http://forebay.example.com", "--plain-http")
    assert sent == ["tiers/"]


# The platform ------------------------------------------------------------------------------------
@pytest.mark.unit
def test_nobody_at_the_address(forebay: Forebay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", KEY)
    ended = ask(forebay, monkeypatch, "http://127.0.0.1:1")
    assert (ended.status, ended.out) == (1, "")
    assert "http://127.0.0.1:1 does not answer (Connection refused)" in ended.err
    assert "is FOREBAY_URL right?" in ended.err


@pytest.mark.unit
@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ((200, {}, b"<html>hello</html>"), "is no Forebay: it answers 200 without JSON"),
        ((502, {}, b"bad gateway"), "is no Forebay: it answers 502 without JSON"),
        (
            (301, {"Location": "https://elsewhere.example/api/v1/tiers/"}, b""),
            "leads to https://elsewhere.example/api/v1/tiers/: set FOREBAY_URL",
        ),
        ((503, {}, b'{"detail": "The database is unavailable."}'), "The database is unavailable."),
        ((200, {}, b"[]"), "is no Forebay: it answers 200 without JSON"),
        ((200, {}, b"null"), "is no Forebay: it answers 200 without JSON"),
        ((200, {}, b"{}"), "the answer has no 'results': is it a Forebay of this version?"),
        ((400, {}, b'{"errors": ["x"], "detail": "It is wrong."}'), "It is wrong."),
        ((429, {"Retry-After": "\u00b2"}, b'{"detail": "Too many calls."}'), "Too many calls."),
    ],
)
def test_what_answers_otherwise_is_said(
    forebay: Forebay, serve: Serve, monkeypatch: pytest.MonkeyPatch, reply: Reply, text: str
) -> None:
    ended = ask(forebay, monkeypatch, serve(reply))
    assert (ended.status, ended.out) == (1, "")
    assert text in ended.err
    assert KEY not in ended.err


@pytest.mark.unit
def test_a_list_of_what_are_no_rows_is_said(
    forebay: Forebay, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_URL", serve((200, {}, b'{"results": [1]}')))
    ended = forebay("engines list")
    assert (ended.status, ended.out) == (1, "")
    assert "its list holds no objects" in ended.err


WORDS = ("state", "state_reason")
STEERING = "\x1b]0;mine\x07\x9b2J\u202e\r\n"


@pytest.mark.unit
@pytest.mark.parametrize("command", ["show gpu-1", "show gpu-1 --json", "list", "list --json"])
def test_words_of_an_engine_do_not_steer_the_terminal(
    forebay: Forebay, serve: Serve, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    names = ("id", "name", "model", "pool", "kind", "slots", "auto_slots", "hosted", "from_file")
    engine = dict.fromkeys((*names, "url"), "gpu-1") | dict.fromkeys(WORDS, STEERING)
    answer = json.dumps({**engine, "results": [engine]}).encode()
    monkeypatch.setenv("FOREBAY_URL", serve((200, {}, answer)))
    ended = forebay(f"engines {command}")
    assert ended.status == 0
    assert all(line.isprintable() for line in ended.out.split("\n"))
    if "--json" in command:
        shown = ended.data[0] if "list" in command else ended.data
        assert shown["state_reason"] == STEERING


@pytest.mark.unit
@pytest.mark.parametrize(
    "reply",
    [
        (403, {}, json.dumps({"detail": STEERING}).encode()),
        (400, {}, json.dumps({"errors": {STEERING: [STEERING]}}).encode()),
        (301, {"Location": "https://elsewhere.example/\x1b[2J"}, b""),
    ],
)
def test_words_of_a_refusal_do_not_steer_the_terminal(
    forebay: Forebay, serve: Serve, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    ended = ask(forebay, monkeypatch, serve(reply))
    assert ended.status == 1
    assert ended.err.removesuffix("\n").isprintable()


@pytest.mark.unit
def test_a_reader_that_has_enough_is_no_failure(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader of `forebay limits list | head -1` stops early."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, monkeypatch.context() as here:
        here.setattr("sys.stdout", closed)
        here.setenv("FOREBAY_URL", serve(GOOD))
        assert limits.limits(["list"]) == 0


@pytest.mark.unit
def test_it_waits_where_the_key_has_made_too_many_calls(
    forebay: Forebay, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = list[float]()
    monkeypatch.setattr("time.sleep", waits.append)
    busy: Reply = (429, {"Retry-After": "7"}, b'{"detail": "Too many calls."}')
    assert ask(forebay, monkeypatch, serve(busy, busy, GOOD)).status == 0
    assert waits == [7, 7]
    for_long: Reply = (429, {"Retry-After": "600"}, b'{"detail": "Too many calls."}')
    assert ask(forebay, monkeypatch, serve(for_long)).status == 1
    assert waits == [7, 7]


@pytest.mark.unit
@pytest.mark.parametrize("variable", ["FOREBAY_TLS_CA", "SSL_CERT_FILE"])
def test_an_authority_of_ones_own_is_named_by_a_variable(
    forebay: Forebay, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    Authority.make(tmp_path)
    Authority.open(tmp_path).server(["localhost"], 30, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    url = serve(GOOD, context=context)
    monkeypatch.setattr(outgoing_tls, "_known", {})
    monkeypatch.setattr(outgoing_tls, "_last", {})
    strange = ask(forebay, monkeypatch, url)
    assert strange.status == 1
    assert "is not trusted" in strange.err
    assert "FOREBAY_TLS_CA" in strange.err
    monkeypatch.setenv(variable, str(tmp_path / "ca.crt"))
    monkeypatch.setattr(outgoing_tls, "_known", {})
    trusted = ask(forebay, monkeypatch, url)
    assert (trusted.status, trusted.err) == (0, "")
