"""What the bundled model must reach when it is trained: a part of `make soak-models`.

With FOREBAY_TEST_REPORTS=FOLDER the events of the training are written there.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests import report_files
from tests.trainer.process import events, order, run
from tests.trainer.training.pages import write_pages

pytestmark = [pytest.mark.unit, pytest.mark.soak, pytest.mark.timeout(7200)]


def test_ten_epochs_over_200_kb_lower_the_perplexity_of_other_pages_by_a_quarter(
    pytorch: str, smollm2: Path, tmp_path: Path
) -> None:
    tuned = run(
        tmp_path, "pretrain", python=pytorch, base=str(smollm2), threads=2,
        timeout_s=7200,
        data=write_pages(tmp_path / "data", 200_000),
        parameters={"epochs": 10, "learning_rate": 3e-4, "patience": 10, "batch": 4},
    )  # fmt: skip
    result = tuned.result
    report_files.write("ten-epochs.json", json.dumps(tuned.events, indent=1) + "\n")
    assert max(event["epoch"] for event in tuned.events if event["type"] == "metric") == 10
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


def test_a_student_decodes_more_than_twice_as_fast(pytorch: str, tmp_path: Path) -> None:
    """Medians of ten rounds, in turns with its teacher, both as Q8_0 and as F16."""
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "bench.parts", "small-model", "--json", str(path)]
    subprocess.run(command, cwd=PROJECT, check=True)
    speeds = json.loads(path.read_text())["speeds"]
    assert max(speed["student"] / speed["teacher"] for speed in speeds) >= 2.3, speeds
