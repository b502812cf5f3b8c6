"""What the bundled model must reach on two cores: `make soak-models`, for two hours or so."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.environment import PROJECT
from config.supervisor.engines.embedded_engine import bundled_model
from tests.trainer.process import Run, events, order, run
from tests.trainer.training.pages import write_pages

pytestmark = [pytest.mark.unit, pytest.mark.soak, pytest.mark.timeout(7200)]

STUDENT = {"layers": 14, "vocabulary": 16_384, "teacher_epochs": 2, "batch": 8, "length": 256}
TEN_MINUTES, AN_HOUR = 75, 450  # steps of 2,048 tokens on two idle cores


@pytest.fixture(scope="module")
def smollm2(pytorch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    parameters = {"to": "hf", "dtype": "f32"}
    made = run(folder, "convert", python=pytorch, base=str(bundled_model()), parameters=parameters)
    assert made.code == 0, made.events[-1:]
    return made.output / "model"


def distilled(folder: Path, python: str, base: Path, steps: int) -> Run:
    return run(
        folder, "distil", python=python, base=str(base), data=write_pages(folder / "data", 1 << 20),
        parameters={**STUDENT, "epochs": 100, "most_steps": steps, "evaluate_every": 75},
        threads=2,
    )  # fmt: skip


def test_ten_epochs_over_200_kb_lower_the_perplexity_of_other_pages_by_a_quarter(
    pytorch: str, smollm2: Path, tmp_path: Path
) -> None:
    tuned = run(
        tmp_path, "pretrain", python=pytorch, base=str(smollm2), threads=2,
        data=write_pages(tmp_path / "data", 200_000),
        parameters={"epochs": 10, "learning_rate": 1e-3, "patience": 3, "batch": 4},
    )  # fmt: skip
    result = tuned.result
    assert result["held_out_perplexity"] <= 0.75 * result["held_out_perplexity_before"]


def test_a_pause_takes_a_step_and_a_second_at_most(
    pytorch: str, smollm2: Path, tmp_path: Path
) -> None:
    parameters = {"length": 128, "batch": 8, "micro_batch": 1, "epochs": 10}
    path = order(
        tmp_path, "pretrain", base=str(smollm2), data=write_pages(tmp_path / "data", 50_000),
        parameters=parameters, threads=2,
    )  # fmt: skip
    trainer = subprocess.Popen([pytorch, "-m", "trainer", str(path)], cwd=PROJECT)
    times = [_time_of(tmp_path, step) for step in (2, 3)]
    time.sleep((times[1] - times[0]) / 2)
    began = time.monotonic()
    trainer.terminate()
    assert trainer.wait(timeout=600) == 75
    assert time.monotonic() - began <= times[1] - times[0] + 1


def _time_of(folder: Path, step: int) -> float:
    while not any(e["type"] == "metric" and e["step"] == step for e in events(folder)):
        time.sleep(0.01)
    return time.monotonic()


@pytest.mark.parametrize(("steps", "floor"), [(TEN_MINUTES, 0.70), (AN_HOUR, 0.89)])
def test_a_student_keeps_its_teachers_next_tokens(
    pytorch: str, smollm2: Path, tmp_path: Path, steps: int, floor: float
) -> None:
    student = distilled(tmp_path, pytorch, smollm2, steps)
    report = student.result
    assert report["sizes"]["share"] <= 0.45
    assert report["next_tokens"]["kept"] >= floor, report["next_tokens"]


def test_a_student_decodes_more_than_twice_as_fast(pytorch: str, tmp_path: Path) -> None:
    """Medians of ten rounds, in turns with its teacher, both as Q8_0 and as F16."""
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "bench.parts", "small-model", "--json", str(path)]
    subprocess.run(command, cwd=PROJECT, check=True)
    speeds = json.loads(path.read_text())["speeds"]
    assert max(speed["student"] / speed["teacher"] for speed in speeds) >= 2.3, speeds
