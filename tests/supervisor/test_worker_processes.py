"""Which worker process serves which engines."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.supervisor.home import Home
from config.supervisor.worker_processes import WorkerProcesses

pytestmark = pytest.mark.unit


class Host:
    """A host with `most` worker processes, none of which runs."""

    def __init__(self, home: Path, most: int) -> None:
        self.started: list[int] = []
        self.home = Home(home)
        self.home.run.mkdir(parents=True, exist_ok=True)
        processes = SimpleNamespace(worker=lambda number, _file: self.started.append(number))
        self.processes = WorkerProcesses(self.home, cast(Any, processes), most)

    def has(self, *engines: str, workers: int = 1) -> list[list[str]]:
        """Returns the queues of each process, where these engines are there."""
        names = range(1, workers + 1)
        self.processes.assign({f"{engine}/{n}": engine for engine in engines for n in names})
        files = [self.home.run / f"worker.{number}.json" for number in self.started]
        return [sorted(json.loads(file.read_text())) for file in files]


def test_engines_have_a_process_each_while_there_are_few(tmp_path: Path) -> None:
    host = Host(tmp_path, 3)
    assert host.has("a") == [["a/1"]]
    assert host.has("a", "b", "c") == [["a/1"], ["b/1"], ["c/1"]]
    assert host.started == [1, 2, 3]


def test_further_ones_go_where_the_fewest_are(tmp_path: Path) -> None:
    host = Host(tmp_path, 2)
    assert host.has(*"abcde") == [["a/1", "c/1", "e/1"], ["b/1", "d/1"]]
    assert host.has(*"abcdef")[1] == ["b/1", "d/1", "f/1"]


def test_an_engine_stays_where_it_is(tmp_path: Path) -> None:
    host = Host(tmp_path, 2)
    host.has(*"abcd")
    assert host.has("b", "d") == [[], ["b/1", "d/1"]]
    assert host.has("b", "d", "x") == [["x/1"], ["b/1", "d/1"]]
    assert host.started == [1, 2]


@pytest.mark.parametrize("engines", ["a", "ab", "abcde"])
def test_workers_of_one_engine_share_no_process(tmp_path: Path, engines: str) -> None:
    assigned = Host(tmp_path, 3).has(*engines, workers=3)
    assert len(assigned) == 3
    for queues in assigned:
        assert sorted(queue[0] for queue in queues) == sorted(engines)


def test_what_could_not_be_written_is_written_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path, 2)
    host.has("a")
    with monkeypatch.context() as full:
        full.setattr(Home, "write_private", _no_room)
        with pytest.raises(OSError, match="No space"):
            host.has("a", "b", "c")
    assert host.has("a", "b", "c") == [["a/1", "c/1"], ["b/1"]]


def _no_room(*_: object) -> None:
    raise OSError("No space left on device")
