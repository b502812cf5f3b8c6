"""Ports for metrics, and the file by which Prometheus finds them."""

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from config.command.processes import worker
from config.supervisor.home import Home
from config.supervisor.ports import find_free
from config.supervisor.scrape_targets import ScrapeTargets, take_own_port

pytestmark = pytest.mark.unit


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    return home


def listed(home: Home) -> list[Any]:
    return list(json.loads((home.root / "metrics" / "targets.json").read_text()))


def test_off_by_default_nothing_is_listed(home: Home) -> None:
    targets = ScrapeTargets(home, 0)
    targets.clear()
    assert targets.variables("web", "web") == {}
    assert list(home.root.iterdir()) == []


def test_processes_have_ports_of_their_own_and_are_listed(home: Home) -> None:
    targets = ScrapeTargets(home, find_free())
    ports = [
        int(targets.variables(name, role, number)["FOREBAY_METRICS_PORT"])
        for name, role, number in (("web.1", "web", 1), ("web.2", "web", 2), ("jobs", "jobs", 1))
    ]
    assert len(set(ports)) == 3
    assert [each["targets"] for each in listed(home)] == [[f"127.0.0.1:{port}"] for port in ports]
    assert listed(home)[1]["labels"] == {"process": "web.2", "role": "web", "number": "2"}
    file = home.root / "metrics" / "targets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert sorted(each.name for each in file.parent.iterdir()) == ["targets.json"]


def test_a_process_keeps_its_port(home: Home) -> None:
    targets = ScrapeTargets(home, find_free())
    first = targets.variables("worker.a", "worker")
    assert targets.variables("worker.a", "worker") == first
    assert targets.variables("worker.b", "worker") != first
    assert [each["labels"]["process"] for each in listed(home)] == ["worker.a", "worker.b"]
    targets.clear()
    assert listed(home) == []


def test_a_port_that_somebody_has_is_passed_over(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        found = ScrapeTargets(home, taken).variables("web", "web")
    assert int(found["FOREBAY_METRICS_PORT"]) > taken


def test_a_list_of_before_is_emptied_when_metrics_are_off_now(home: Home) -> None:
    ScrapeTargets(home, find_free()).variables("web", "web")
    ScrapeTargets(home, 0).clear()
    assert listed(home) == []


def test_prometheus_gets_into_the_folder_whatever_the_umask(home: Home) -> None:
    """systemd's units have 0077."""
    before = os.umask(0o077)
    try:
        targets = ScrapeTargets(home, find_free())
        targets.variables("web", "web")
    finally:
        os.umask(before)
    assert stat.S_IMODE(targets.file.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(targets.file.stat().st_mode) == 0o644


def taken(home: Home, monkeypatch: pytest.MonkeyPatch, first: int, *process: Any) -> int:
    """The port that a process takes which systemd has started by itself."""
    monkeypatch.setenv("FOREBAY_METRICS_PORT", "")
    take_own_port(home, first, *process)
    return int(os.environ["FOREBAY_METRICS_PORT"])


def test_units_that_start_by_themselves_take_ports_apart_and_list_themselves(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None listens yet when the next one looks."""
    first = find_free()
    units = (("worker.qwen", "worker", 1), ("worker.e5", "worker", 1), ("web.10", "web", 10))
    ports = [taken(home, monkeypatch, first, *unit) for unit in units]
    assert len(set(ports)) == 3
    assert all(port >= first for port in ports)
    lists = {file.stem: json.loads(file.read_text()) for file in home.root.glob("metrics/*.json")}
    assert lists["web.10"] == [
        {
            "targets": [f"127.0.0.1:{ports[2]}"],
            "labels": {"process": "web.10", "role": "web", "number": "10"},
        }
    ]
    assert lists.keys() == {"worker.qwen", "worker.e5", "web.10"}
    again = [taken(home, monkeypatch, first, *unit) for unit in reversed(units)]
    assert again == ports[::-1]


def test_a_port_that_a_stranger_has_taken_meanwhile_is_left_to_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find_free()
    before = taken(home, monkeypatch, first, "web.1", "web", 1)
    with socket.create_server(("127.0.0.1", before)):
        assert taken(home, monkeypatch, first, "web.1", "web", 1) > before


@pytest.mark.parametrize("text", ["0", "65536", "many"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        worker(["qwen", "--metrics-from", text])
