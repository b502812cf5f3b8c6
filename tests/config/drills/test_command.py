"""`forebay drill`, as operators type it, before a Patroni and front doors that only pretend."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from audit.models import CheckRun
from config import environment
from config.command.drill import drill
from config.drills import lock, procedure
from config.drills.consistency import Recorded
from config.drills.installation import RealInstallation
from config.drills.load import Load
from config.drills.undoing import Undoing
from console.compliance.drills import evidence
from console.compliance.drills.kinds import KINDS

pytestmark = pytest.mark.django_db(transaction=True)
PLAN = """
topology = "two zones"
model = "mock"
http = ["{url}"]
[patroni]
urls = ["{url}"]
"""


class Stub:
    """A Patroni that switches over at once, and a front door that is ready."""

    def __init__(self) -> None:
        self.members = [_member("a1", "leader"), _member("b1", "quorum_standby")]
        self.switched = False
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({"members": stub.members})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                stub.switched = True
                stub.members = [_member("a1", "quorum_standby"), _member("b1", "leader")]
                self._answer({})

            def _answer(self, answer: Mapping[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def _member(name: str, role: str) -> dict[str, Any]:
    state = "running" if role == "leader" else "streaming"
    return {"name": name, "role": role, "state": state, "host": "127.0.0.1", "timeline": 1}


@pytest.fixture
def stub(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    served = Stub()
    file = tmp_path / "drills.toml"
    file.write_text(PLAN.format(url=served.url))
    settings.DRILLS = str(file)
    monkeypatch.setattr(environment, "HOME", tmp_path)
    patient = replace(KINDS["switch_over"], bound_s=120.0)  # of a busy machine
    monkeypatch.setitem(KINDS, "switch_over", patient)
    yield served
    served.server.shutdown()
    served.server.server_close()


class InstantDoor:
    """It answers at once; what it answered is on record."""

    name, size = "rest", 1

    def __init__(self) -> None:
        self.record: dict[str, Recorded] = {}

    async def ask(self, request: str) -> Sequence[str]:
        self.record[request] = Recorded(1, len(self.record) + 1)
        return [request]

    async def close(self) -> None:
        pass


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> InstantDoor:
    door = InstantDoor()

    async def record(self: Any, ids: Sequence[str]) -> Mapping[str, Recorded]:
        return {name: door.record[name] for name in ids}

    monkeypatch.setattr(RealInstallation, "load", lambda self: Load([door], 1))
    monkeypatch.setattr(RealInstallation, "record", record)
    monkeypatch.setattr(procedure, "STEADY_S", 0.1)
    return door


def test_a_plan_is_printed_and_run(
    stub: Stub, door: InstantDoor, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert drill(["plan"]) == 0
    assert "two zones: well" in capsys.readouterr().out
    assert not stub.switched
    words = ["run", "--only", "switch_over", "--yes", "--out", str(tmp_path / "out")]
    assert drill(words) == 0
    assert stub.switched
    printed = capsys.readouterr().out
    assert "RTO" in printed
    assert (tmp_path / "out" / "drills.zh.pdf").exists()
    made = evidence.newest()
    assert made
    assert made["body"]["drills"][0]["broken"] == "a1 to b1"
    assert drill(["status"]) == 0


def test_without_a_yes_nothing_is_broken(
    stub: Stub,
    door: InstantDoor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    assert drill(["run"]) == 0
    assert not stub.switched
    assert "nothing was broken" in capsys.readouterr().out
    assert evidence.newest() is None


def test_nothing_is_broken_where_not_all_is_well(
    stub: Stub,
    door: InstantDoor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(procedure, "BEGIN_S", 0.5)
    stub.members[1]["state"] = "stopped"
    assert drill(["plan"]) == 1
    assert drill(["run", "--yes"]) == 2
    assert not stub.switched
    assert "not streaming: b1" in capsys.readouterr().err


def test_the_second_of_two_operators_is_refused(
    stub: Stub, door: InstantDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock.drilling("alice@a1"):
        assert drill(["run", "--yes"]) == 2
        assert "alice@a1 drills since" in capsys.readouterr().err
        assert drill(["undo"]) == 0  # what another host has broken is not ours to forget
        assert drill(["run", "--yes"]) == 2
    assert not stub.switched


def test_what_a_drill_that_still_runs_has_broken_is_not_undone_by_another(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    undoing = Undoing(environment.HOME)
    undoing.note([["true"]])
    with lock.here(environment.HOME):
        assert drill(["undo"]) == 2
    assert "a drill runs on this host" in capsys.readouterr().err
    assert undoing.is_open


def test_a_drill_that_was_killed_bars_nobody_once_it_is_undone(
    stub: Stub, door: InstantDoor
) -> None:
    killed = lock.drilling(f"bob@{socket.gethostname()}")
    killed.__enter__()
    assert drill(["run", "--yes"]) == 2
    assert drill(["undo"]) == 0
    assert drill(["run", "--yes"]) == 0


def test_a_drill_that_waited_too_long_for_its_yes_breaks_nothing(
    stub: Stub, door: InstantDoor, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    another = lock.drilling("alice@a1")

    def long_pause(prompt: str) -> str:
        CheckRun.objects.update(at=timezone.now() - timedelta(hours=4))
        another.__enter__()
        return "yes"

    monkeypatch.setattr("builtins.input", long_pause)
    assert drill(["run"]) == 2
    assert not stub.switched
    assert "somebody else may drill now" in capsys.readouterr().err


def test_the_report_is_written_where_the_database_is_away_at_the_end(
    stub: Stub,
    door: InstantDoor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("the server is away")

    monkeypatch.setattr(evidence, "record", away)
    assert drill(["run", "--yes", "--out", str(tmp_path / "out")]) == 1
    assert (tmp_path / "out" / "drills.json").exists()
    assert "not on record: the server is away" in capsys.readouterr().err


def test_nothing_begins_while_something_is_still_broken(
    stub: Stub, door: InstantDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    Undoing(environment.HOME).note([["true"]])
    assert drill(["run", "--yes"]) == 2
    assert "forebay drill undo" in capsys.readouterr().err
    assert drill(["undo"]) == 0
    assert drill(["run", "--yes"]) == 0


def test_what_is_typed_between_drills(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    assert drill(["status"]) == 1
    assert "no drill is on record" in capsys.readouterr().out
    assert drill(["undo"]) == 0
    assert "nothing is broken" in capsys.readouterr().out


def test_without_a_plan_it_says_what_to_set(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.DRILLS = ""
    assert drill(["plan"]) == 2
    assert "FOREBAY_DRILLS" in capsys.readouterr().err
