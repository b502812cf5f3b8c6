"""deploy/ha/disk_guard.py, before a Patroni that answers what it is told to."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from config.environment import PROJECT
from deploy.ha import disk_guard, rendering
from deploy.ha.disk_guard import Server, look

pytestmark = pytest.mark.unit
STANDBYS = [
    {"name": "b1", "role": "replica", "state": "streaming"},
    {"name": "b2", "role": "quorum_standby", "state": "start failed"},
    {"name": "b3", "role": "quorum_standby", "state": "streaming"},
]


class Patroni(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.role, self.members = "primary", STANDBYS
        self.orders: list[tuple[str, Any]] = []  # authorization, fields
        self.refuses = False


class Answers(BaseHTTPRequestHandler):
    server: Patroni

    def do_GET(self) -> None:
        known = {
            "/patroni": {"role": self.server.role},
            "/cluster": {"members": self.server.members},
        }
        self._answer(known[self.path])

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.orders.append((self.headers["Authorization"], fields))
        self._answer({"path": self.path}, 412 if self.server.refuses else 200)

    def _answer(self, content: Any, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def patroni() -> Iterator[Patroni]:
    with Patroni() as server:
        Thread(target=server.serve_forever, args=[0.02]).start()
        yield server
        server.shutdown()


@pytest.fixture
def guarded(patroni: Patroni, tmp_path: Path) -> Server:
    """Returns the server of the file that Patroni itself reads."""
    example = yaml.safe_load((PROJECT / "deploy" / "ha" / "cluster.example.yml").read_text())
    passwords = dict.fromkeys(rendering.PASSWORDS, "secret")
    values = rendering.variables(example, passwords) | {"postgresql_data": str(tmp_path / "data")}
    host = {**example["hosts"][0], "address": "127.0.0.1"}
    values["patroni_port"] = patroni.server_port
    (tmp_path / "data" / "pg_wal").mkdir(parents=True)
    file = tmp_path / "patroni.yml"
    file.write_text(rendering.render("patroni.yml", values, host))
    return Server.read(file)


def fill(monkeypatch: pytest.MonkeyPatch, free: dict[str, int], size: int = 100 << 30) -> None:
    """Have folders, by name, lie on disks with so many free bytes."""

    def disk(folder: Path) -> Any:
        return SimpleNamespace(f_bavail=free.get(folder.name, size), f_blocks=size, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", disk)


@pytest.mark.parametrize("folder", ["data", "pg_wal"])
def test_a_primary_whose_disk_is_nearly_full_is_moved(
    guarded: Server, patroni: Patroni, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    fill(monkeypatch, {folder: 900 << 20})
    assert look(guarded)
    [(authorization, fields)] = patroni.orders
    assert fields == {"leader": "a1", "candidate": "b3"}
    assert authorization == "Basic cGF0cm9uaTpzZWNyZXQ="


def test_a_move_that_is_refused_is_tried_again_at_the_next_look(
    guarded: Server, patroni: Patroni, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby that was just there has fallen behind: no write works until one takes over."""
    fill(monkeypatch, {"data": 0})
    patroni.refuses = True
    with pytest.raises(disk_guard._FAILURES, match="412"):
        look(guarded)
    patroni.refuses = False
    assert look(guarded)


@pytest.mark.parametrize(("free", "size"), [(2 << 30, 1 << 40), (30 << 20, 1 << 30)])
def test_it_stays_where_there_is_room(
    guarded: Server, patroni: Patroni, monkeypatch: pytest.MonkeyPatch, free: int, size: int
) -> None:
    fill(monkeypatch, {"data": free}, size)
    assert not look(guarded)
    assert not patroni.orders


def test_a_standby_moves_nobody(
    guarded: Server, patroni: Patroni, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(monkeypatch, {"data": 0})
    patroni.role = "replica"
    assert not look(guarded)
    assert not patroni.orders


def test_it_stays_where_no_standby_has_every_commit(
    guarded: Server,
    patroni: Patroni,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(monkeypatch, {"data": 0})
    patroni.members = STANDBYS[:2]
    assert not look(guarded)
    assert not patroni.orders
    assert "no standby can take over" in capsys.readouterr().out


def test_it_goes_on_while_patroni_is_away(
    guarded: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(monkeypatch, {"data": 0})
    away = replace(guarded, address="127.0.0.1:9")
    monkeypatch.setattr(Server, "read", lambda file: away)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        disk_guard.main(Path("patroni.yml"))
    assert set(pauses) == {disk_guard.LOOK_EVERY_S}
    assert capsys.readouterr().out.count("cannot look after the disk") == len(pauses)
