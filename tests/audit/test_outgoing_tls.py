"""Witnesses, the deletion webhook and the KMS: who shows a wrong certificate is told nothing."""

import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO
from urllib.error import HTTPError

import pytest
from django.conf import settings

from audit.keys.master_keys import kms
from audit.keys.master_keys.errors import MasterKeyAway
from audit.witnesses import delivery
from audit.witnesses.syslog import TIMEOUT_S
from inference.personal_data import recipients
from infrastructure import outgoing_tls
from tests.inference.api.grpc.certificates import Authority, Signed

pytestmark = pytest.mark.unit
Say = Callable[[int], object]
SECRET = b"secret-of-ours"
OK, BODY = b"200 OK", b'{"data": {"latest_version": 1}}'


class Listener:
    """Takes one connection after the other, and keeps what it was sent once TLS was agreed."""

    hears_goodbyes = True  # of TLS, not of TCP alone
    resets = False  # the line, once it has said goodbye itself

    def __init__(self, context: ssl.SSLContext | None, status: bytes) -> None:
        self._context, self._status = context, status
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.read = b""

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                with plain, suppress(OSError):
                    plain.settimeout(10)
                    self._answer(plain)

    def _answer(self, plain: socket.socket) -> None:
        if not self._context:
            self.read += plain.recv(65536)
            plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        line = self._context.wrap_socket(plain, server_side=True)
        with line, line.makefile("rb") as sent:
            self.read += (first := sent.readline())
            if first.startswith((b"GET", b"POST")):
                self._answer_http(line, sent)
            elif self.hears_goodbyes:
                self.read += sent.read()
                if self.resets:
                    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    line.unwrap()
            else:
                while socket.socket.recv(line, 4096):  # beneath TLS
                    pass

    def _answer_http(self, line: socket.socket, sent: BinaryIO) -> None:
        head = b"".join(iter(sent.readline, b"\r\n"))
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        self.read += head + sent.read(int(length[1]) if length else 0)
        line.sendall(
            b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (self._status, len(BODY)) + BODY
        )

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def listening(
    signed: Signed | None,
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    clients: Signed | None = None,
    status: bytes = OK,
) -> Iterator[Listener]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if signed else None
    if signed and context:
        context.load_cert_chain(signed.certificate, signed.key)
        context.maximum_version = newest
    if clients and context:
        context.load_verify_locations(clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    listener = Listener(context, status)
    thread = Thread(target=listener.serve)
    thread.start()
    try:
        yield listener
    finally:
        listener.close()
        thread.join()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Which this machine trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("FOREBAY_TLS_CA", str(made.own.certificate))
    monkeypatch.setattr(kms, "TRIES", 1)
    return made


def to_witness(port: int) -> None:
    delivery.tell(f"https://u:{SECRET.decode()}@localhost:{port}/w", [b'"checkpoint"'])


def to_syslog(port: int) -> None:
    delivery.tell(f"syslog+tls://localhost:{port}", [b'"checkpoint"'])


def to_kms(port: int, ca: str = "") -> None:
    variables = {"FOREBAY_KMS_URL": f"https://localhost:{port}", "FOREBAY_KMS_CA": ca}
    variables["FOREBAY_KMS_TOKEN"] = SECRET.decode()
    try:
        kms.Transit(variables).ask("GET", "transit/keys/forebay", {})
    except MasterKeyAway as problem:
        raise OSError(*problem.args) from None


def to_deletion_webhook(port: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "DELETION_WEBHOOK", f"https://localhost:{port}/erased")
        recipients._post({"notice": "erase what you keep of these requests"})


EACH = pytest.mark.parametrize(
    ("say", "said"),
    [
        (to_witness, b'{"checkpoints":["checkpoint"]}'),
        (to_syslog, b' checkpoint - "checkpoint"'),
        (to_kms, b"X-Vault-Token: " + SECRET),
        (to_deletion_webhook, b'{"notice": "erase what you keep'),
    ],
)


def refused(say: Say, signed: Signed | None, because: str, **how: object) -> None:
    with (
        listening(signed, **how) as listener,  # type: ignore[arg-type]  # as each case says
        pytest.raises(OSError, match=because),
    ):
        say(listener.port)
    if signed:
        assert listener.read == b""
    assert b"checkpoint" not in listener.read
    assert SECRET not in listener.read


@EACH
def test_a_right_one_is_told(say: Say, said: bytes, authority: Authority) -> None:
    with listening(authority.sign("there")) as listener:
        say(listener.port)
    assert said in listener.read


def test_a_syslog_that_does_not_hear_our_goodbye_costs_no_wait(authority: Authority) -> None:
    with listening(authority.sign("there")) as listener:
        listener.hears_goodbyes = False
        began = time.monotonic()
        to_syslog(listener.port)
        assert time.monotonic() - began < TIMEOUT_S
    assert b"checkpoint" in listener.read


def test_a_syslog_that_resets_the_line_after_its_goodbye_has_heard_us(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be told the same checkpoints again and again."""
    shut = socket.socket.shutdown

    def once_reset(line: socket.socket, how: int) -> None:
        gone = select.poll()
        gone.register(line, 0)  # its end alone
        gone.poll(10_000)
        shut(line, how)

    with listening(authority.sign("there")) as listener:
        listener.resets = True
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "shutdown", once_reset)
            to_syslog(listener.port)
    assert b"checkpoint" in listener.read


@EACH
def test_wrong_ones(say: Say, said: bytes, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    refused(say, stranger.sign("theirs"), "unable to get local issuer certificate")
    refused(say, stranger.own, "self-signed certificate")
    refused(say, authority.sign("late", days=-1), "certificate has expired")
    refused(say, authority.sign("elsewhere", host="kms.example.com"), "Hostname mismatch")
    refused(say, None, "WRONG_VERSION_NUMBER")


@EACH
def test_how_old_a_version_may_be(
    say: Say, said: bytes, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed, old = authority.sign("there"), ssl.TLSVersion.TLSv1_2
    monkeypatch.setenv("FOREBAY_TLS", "on")
    refused(say, signed, "TLSV1_ALERT_PROTOCOL_VERSION", newest=old)
    monkeypatch.setenv("FOREBAY_TLS_OUTGOING", "1.2")
    with listening(signed, newest=old) as listener:
        say(listener.port)
    assert said in listener.read


@EACH
def test_one_that_asks_for_ours(
    say: Say, said: bytes, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mTLS. Whoever was refused has not heard it: in TLS 1.3 that comes to light late."""
    clients = Authority(tmp_path, "clients")
    monkeypatch.setenv("FOREBAY_TLS_PEERS", str(tmp_path / "peers"))
    refused(say, authority.sign("there"), ".", clients=clients.own)
    own = clients.sign("forebay")
    peer = tmp_path / "peers" / "localhost"
    peer.mkdir(parents=True)
    (peer / "tls.crt").write_bytes(own.certificate.read_bytes())
    (peer / "tls.key").write_bytes(own.key.read_bytes())
    with listening(authority.sign("there"), clients=clients.own) as listener:
        say(listener.port)
    assert said in listener.read


def test_the_authorities_of_a_kms_are_those_alone(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Authority(tmp_path, "of-kms")
    ca = str(own.own.certificate)
    with listening(own.sign("kms")) as listener:
        to_kms(listener.port, ca)
    assert SECRET in listener.read
    refused(lambda port: to_kms(port, ca), authority.sign("there"), "unable to get local issuer")
    monkeypatch.setenv("FOREBAY_TLS", "on")
    refused(
        lambda port: to_kms(port, ca),
        own.sign("kms"),
        "TLSV1_ALERT_PROTOCOL_VERSION",
        newest=ssl.TLSVersion.TLSv1_2,
    )


def test_files_of_ours_that_are_half_written(authority: Authority, tmp_path: Path) -> None:
    """What was there is kept; where nothing was, the line names the file's variable."""
    outgoing_tls._last.clear()
    with listening(authority.sign("there")) as listener:
        authority.own.certificate.write_text("half")
        with pytest.raises(OSError, match="the files of TLS for localhost in .* are wrong"):
            to_witness(listener.port)
    assert listener.read == b""


def test_a_notice_that_is_sent_elsewhere_is_not_told(authority: Authority) -> None:
    status = b"302 Found\r\nLocation: /elsewhere"
    with (
        listening(authority.sign("there"), status=status) as listener,
        pytest.raises(HTTPError, match="302"),
    ):
        to_deletion_webhook(listener.port)
    assert b"/elsewhere" not in listener.read
