"""Made-up persons and attacks talk to an assistant on a running platform (`make soak`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.e2e import sentence_model

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        "FOREBAY_TEST_SENTENCES" not in os.environ, reason="downloads a model: make soak"
    ),
]
SIZES = ["--seeds", "1,2", "--goals", "60", "--trials", "2", "--attacks", "500"]


@pytest.mark.slow(seconds=3000)
def test_the_aims_are_met_in_simulation(tmp_path: Path) -> None:
    ready = os.environ.get("FOREBAY_TEST_SENTENCE_MODEL")  # a GGUF that was made before
    model = Path(ready) if ready else tmp_path / "sentences.gguf"
    if not ready:
        sentence_model.write(sentence_model.fetched(tmp_path), model)
    command = [sys.executable, "-m", "bench.service", str(tmp_path / "report")]
    command += ["--sentences", str(model), *SIZES]
    subprocess.run(command, cwd=PROJECT, check=True)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["about"]["measured"] == "through the platform"
    assert [aim["text"] for aim in report["aims"] if not aim["met"]] == []
