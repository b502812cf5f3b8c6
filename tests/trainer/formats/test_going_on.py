"""Conversions and quantisations go on after a pause or a kill, and give the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.environment import PROJECT
from tests.trainer.formats import tiny
from tests.trainer.process import order, work
from trainer.events import Events
from trainer.formats import quantising, units
from trainer.formats.units import Units
from trainer.job import Job
from trainer.order import Order
from trainer.refusals import Paused

pytestmark = pytest.mark.unit
ORDERS: dict[str, tuple[str, dict[str, object]]] = {
    "q8_0": ("quantise", {"format": "q8_0"}),
    "int8": ("quantise", {"format": "int8"}),
    "folder": ("convert", {"to": "hf", "dtype": "f16"}),
    "gguf": ("convert", {"to": "gguf", "dtype": "f16"}),
}
# Dies by SIGKILL while it makes the unit after these, having saved each.
DYING = """
import os, signal, sys
from trainer import __main__ as trainer
from trainer.formats import quantising, units
units.SAVE_EVERY_S = 0.0
append, left = units.Units._append, [int(sys.argv[2])]
def dying(self, arrays):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, arrays)
units.Units._append = dying
trainer.main(sys.argv[1:2], sys.stderr)
"""


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gguf(tmp_path_factory.mktemp("base") / "tiny.gguf")


@pytest.fixture(scope="module")
def folder(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("folder")
    return (
        work(where, "convert", base=str(gguf), parameters={"to": "hf", "dtype": "f32"}).output
        / "model"
    )


def files(output: Path) -> dict[str, bytes]:
    paths = [path for path in output.rglob("*") if path.is_file() and path.name != "events.jsonl"]
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of arrays of each unit that this process makes."""
    numbers, append = [], Units._append

    def counting(self: Units, arrays: Any) -> None:
        numbers.append(len(arrays))
        append(self, arrays)

    monkeypatch.setattr(Units, "_append", counting)
    return numbers


def killed(where: Path, kind: str, after: int, **fields: object) -> None:
    where.mkdir(exist_ok=True)
    process = subprocess.run(
        [sys.executable, "-c", DYING, str(order(where, kind, **fields)), str(after)],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout=300,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ORDERS)
def test_a_killed_one_makes_only_what_is_not_saved(
    name: str, gguf: Path, folder: Path, tmp_path: Path, made: list[int]
) -> None:
    kind, parameters = ORDERS[name]
    base = str(folder if name == "gguf" else gguf)
    fields: dict[str, object] = {"base": base, "parameters": parameters}
    whole = files(work(tmp_path / "whole", kind, **fields).output)
    of = len(made)
    for after in (5, 3):  # the second one begins with what the first one saved
        killed(tmp_path / "killed", kind, after, **fields)
    made.clear()
    done = work(tmp_path / "killed", kind, **fields)
    assert len(made) == of - 8
    assert files(done.output) == whole
    assert len(list((tmp_path / "killed/checkpoints").glob("step-*"))) == 1


def test_a_pause_saves_what_is_done(gguf: Path, tmp_path: Path, made: list[int]) -> None:
    path = order(tmp_path, "quantise", base=str(gguf), parameters={"format": "q8_0"})
    checked = Order.read(path)
    with Events(checked.output) as events:
        job = Job(checked, events)
        job.stopping.set()
        with pytest.raises(Paused):
            quantising.run(job)
    assert len(made) == 1
    assert (checked.checkpoints / "step-000001/state.json").exists()
    assert not list(checked.output.glob("*.part"))
    work(tmp_path, "quantise", base=str(gguf), parameters={"format": "q8_0"})
    assert len(made) == len(tiny.weights())


def test_the_base_of_a_training_is_no_checkpoint_of_it(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "SAVE_EVERY_S", 0.0)
    checked = Order.read(order(tmp_path, "convert", base=str(gguf)))
    with Events(checked.output) as events:
        list(Units(Job(checked, events), saves=False).arrays([list, list]))
    assert not list(checked.checkpoints.iterdir())
