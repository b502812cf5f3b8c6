"""Witnesses hear each checkpoint in order, at least once, and all of it after an outage."""

import base64
import io
import json
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from audit.exports import export_format
from audit.keys import signing
from audit.models import WitnessMark
from audit.offline import forebay_verify
from audit.proof import seal
from audit.verification import witness_lines
from audit.verification.verify import Witness as Heard
from audit.verification.verify import verify
from audit.witnesses import delivery
from tests.audit.sealed import ACME, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


def heard(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_bytes().splitlines() if line]


def test_a_file_hears_each_checkpoint_once_and_in_order(trail: Trail, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "heard.jsonl"
    for _ in range(3):
        trail.grow(rounds=2)
        assert delivery.feed(path.as_uri()) == 2
        assert delivery.feed(path.as_uri()) == 0
    assert heard(path) == [1, 2, 3, 4, 5, 6]
    record = json.loads(path.read_bytes().splitlines()[0])
    assert base64.b64decode(record["public_key"]) == signing.public_key()
    assert trail.verify(witnesses=[delivery.from_file(path, delivered=6)]).ok


def test_what_is_configured_is_fed_and_believed(
    trail: Trail, tmp_path: Path, settings: Any
) -> None:
    path = tmp_path / "heard.jsonl"
    settings.WITNESSES = [path.as_uri(), "http://127.0.0.1:9/away"]
    trail.grow(rounds=3)
    delivery.feed_all()
    assert verify(trail.root, witnesses=delivery.configured()).ok
    trail.root.rollback()
    path.unlink()
    found = verify(trail.root, witnesses=delivery.configured())
    assert [finding.kind for finding in found.findings] == ["witness_lost"]


def test_a_write_that_was_cut_off_is_made_good(trail: Trail, tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    trail.grow(rounds=1)
    delivery.feed(path.as_uri())
    with path.open("ab") as file:
        file.write(b'{"n":2,"si')  # the machine fell
    trail.grow(rounds=1)
    delivery.feed(path.as_uri())
    report = trail.verify(witnesses=[delivery.from_file(path, delivered=2)])
    assert report.ok, report.findings
    assert report.figures["witnessed"] == 2


def test_a_disk_that_is_full_has_not_heard(trail: Trail, tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    trail.grow(rounds=1)
    delivery.feed(path.as_uri())
    trail.grow(rounds=4)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 500, before[1]))
    try:
        assert delivery.feed(path.as_uri()) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "disk full" in WitnessMark.objects.get().problem
    WitnessMark.objects.update(problem="")
    assert delivery.feed(path.as_uri()) == 4
    report = trail.verify(witnesses=[delivery.from_file(path, delivered=5)])
    assert report.ok, report.findings


def test_a_new_installation_has_told_nobody_yet(trail: Trail, tmp_path: Path) -> None:
    path = tmp_path / "heard.jsonl"
    path.write_bytes(b"")
    trail.grow(rounds=1)
    report = trail.verify(witnesses=[delivery.from_file(path)])
    assert report.ok
    assert report.notes == [f"{path} has not heard of the first checkpoint yet"]
    # What the platform has told it, it must know, however new that is.
    told = trail.verify(witnesses=[delivery.from_file(path, delivered=1)])
    assert [finding.kind for finding in told.findings] == ["witness_lost"]


def test_a_witness_that_knows_nothing_is_none(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_lines, "DELIVERED_WITHIN", timedelta(0))
    assert trail.verify(witnesses=[Heard("w", [])]).ok  # nor is there anything to know
    trail.grow(rounds=3)
    for lines in ([], [b"this is no checkpoint"]):
        report = trail.verify(witnesses=[Heard("w", lines)])
        assert [finding.kind for finding in report.findings] == ["witness_lost"]
    path = tmp_path / "other.jsonl"
    path.write_text("this is no checkpoint\n")
    with pytest.raises(SystemExit):
        call_command("audit_verify", "--witness", str(path), stdout=io.StringIO())


def test_one_that_an_export_is_held_against_knows_its_checkpoints(
    trail: Trail, tmp_path: Path
) -> None:
    trail.grow(rounds=4)
    file, heard = tmp_path / "e.jsonl", tmp_path / "heard.jsonl"
    with file.open("wb") as to:
        export_format.write(to, tenant_id=ACME)
    checkpoints = forebay_verify.verify_export(file).figures["checkpoints"]
    for lines, wrong in ((trail.witnessed, 0), ([b"none"], 1), (trail.witnessed[3:], 3)):
        heard.write_bytes(b"\n".join(lines))
        found = forebay_verify.verify_export(file, [signing.public_key()], [heard])
        assert len(found.findings) == min(wrong, checkpoints), found.findings


def test_webhooks_that_differ_in_their_token_have_two_marks() -> None:
    names = {delivery.name_of(f"https://h.example/w?token={token}") for token in "ab"}
    assert len(names) == 2
    assert not any("token" in name for name in names)
    assert len(delivery.name_of("https://h.example/" + "x" * 500)) <= 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_takes_nothing_stops_nobody(trail: Trail, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    trail.grow(rounds=1)
    assert delivery.feed((tmp_path / "heard.jsonl").as_uri()) == 0
    tmp_path.chmod(0o700)


class Hook(HTTPServer):
    """Answers `status`, and keeps what it was sent."""

    status = 204

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://name:secret@127.0.0.1:{self.server_port}/hook?token=t"

    def numbers(self) -> list[int]:
        return [one["n"] for _, body in self.got for one in json.loads(body)["checkpoints"]]


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.status < 300:
            self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield server
    server.shutdown()
    server.thread.join()
    server.server_close()


def test_a_webhook_is_told_under_our_signature(trail: Trail, hook: Hook) -> None:
    trail.grow(rounds=3)
    assert delivery.feed(hook.url) == 3
    assert hook.numbers() == [1, 2, 3]
    (headers, body), *_ = hook.got
    signature = base64.b64decode(headers["X-Forebay-Signature"])
    assert signing.verify(body, signature, "witness")
    assert not signing.verify(body + b" ", signature, "witness")
    assert headers["Authorization"].startswith("Basic ")
    mark = WitnessMark.objects.get()
    assert (mark.n, "secret" in mark.name, "token" in mark.name) == (3, False, False)


def test_one_that_was_away_hears_the_rest(
    trail: Trail, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail.grow(rounds=2)
    hook.status = 503
    assert delivery.feed(hook.url) == 0
    assert "503" in WitnessMark.objects.get().problem
    hook.status = 200
    assert delivery.feed(hook.url) == 0  # it is left in peace for a while
    monkeypatch.setattr(delivery, "REST", delivery.REST * 0)
    monkeypatch.setattr(delivery, "AT_ONCE", 3)
    trail.grow(rounds=3)
    assert (delivery.feed(hook.url), delivery.feed(hook.url)) == (3, 2)
    assert hook.numbers() == [1, 2, 3, 4, 5]
    assert WitnessMark.objects.get().problem == ""


def test_a_witness_that_hangs_holds_up_no_sealing(trail: Trail) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        trail.grow(rounds=1)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        feeding = threading.Thread(target=_feed, args=[url])
        feeding.start()
        for _ in range(3):
            trail.write()
            trail.root.commit()
            assert seal.seal_round() == 1
        assert feeding.is_alive()
        feeding.join(10)
    assert "timed out" in WitnessMark.objects.get().problem


def _feed(url: str) -> None:
    from django.db import connections

    delivery.feed(url)
    connections.close_all()


def test_syslog_over_udp_and_tcp(trail: Trail) -> None:
    trail.grow(rounds=2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(3)
        assert delivery.feed(f"syslog://127.0.0.1:{udp.getsockname()[1]}") == 2
        said = [udp.recv(2000) for _ in range(2)]
    assert [json.loads(line.split(b" - ", 2)[2])["n"] for line in said] == [1, 2]
    assert said[0].startswith(b"<109>1 20")
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        assert delivery.feed(f"syslog+tcp://127.0.0.1:{tcp.getsockname()[1]}") == 2
        line, _ = tcp.accept()
        with line:
            length, rest = line.makefile("rb").read().split(b" ", 1)
    assert json.loads(rest[: int(length)].split(b" - ", 2)[2])["n"] == 1


def test_an_unknown_kind_is_a_problem_and_no_crash(trail: Trail) -> None:
    trail.grow(rounds=1)
    assert delivery.feed("carrier-pigeon://loft") == 0
    assert "no kind of witness" in WitnessMark.objects.get().problem
