import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest
from pytest_django.fixtures import Settings

from config.tls.authority import Authority
from tenants.models import Member, NoticeTarget, TargetKind, Tenant
from tenants.roles import Role
from tests import people
from tests.inference.actions.webhook_server import Service, serving


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex(db: None) -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return people.join(acme, "alice@acme.example", Role.OWNER, "a forebay holds the river")


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return people.join(acme, "bob@acme.example", Role.DEVELOPER, "a forebay holds the river")


@pytest.fixture
def service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> Iterator[Service]:
    settings.ACTION_HOSTS = ["localhost"]
    authority = Authority.make(tmp_path / "tls")
    monkeypatch.setenv("FOREBAY_TLS_CA", str(tmp_path / "tls" / "ca.crt"))
    with serving(authority) as running:
        yield running


@dataclass
class Mailbox:
    """A server that speaks as much SMTP as is needed. `answer` is its word to each recipient."""

    port: int = 0
    answer: bytes = b"250 ok"
    mails: list[str] = field(default_factory=list)


class _Smtp(StreamRequestHandler):
    mailbox: Mailbox

    def handle(self) -> None:
        self._say(b"220 test")
        while line := self.rfile.readline():
            word = line.split(maxsplit=1)[0].upper() if line.strip() else b""
            if word == b"RCPT":
                self._say(self.mailbox.answer)
            elif word == b"DATA":
                self._say(b"354 go on")
                self._read_mail()
            elif word == b"QUIT":
                self._say(b"221 bye")
                return
            else:
                self._say(b"250 ok")

    def _read_mail(self) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        self.mailbox.mails.append(b"".join(lines).decode())
        self._say(b"250 ok")

    def _say(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    server = ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (_Smtp,), {"mailbox": mailbox}))
    server.daemon_threads = True
    mailbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.MAIL = True
    settings.EMAIL_BACKEND = "tenants.notices.mail_server.MailServer"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
    yield mailbox
    server.shutdown()
    server.server_close()
    thread.join()


def new_target(
    tenant: Tenant | None,
    url: str,
    kind: TargetKind = TargetKind.WEBHOOK,
    *,
    name: str = "operations",
    secret: str = "",
    groups: tuple[str, ...] = ("quotas", "raises"),
) -> tuple[NoticeTarget, str]:
    target = NoticeTarget(tenant=tenant, kind=kind, name=name, groups=list(groups))
    return target, target.create(url, secret, by="test")
