"""The cluster alone, of deploy/ha: a killed primary and a switch-over lose no answered row."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.drills.cluster import NEEDED, PACKAGES

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root"),
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)), reason=f"needs Debian's {PACKAGES.replace(' ', ', ')}"
    ),
]


@pytest.mark.soak
@pytest.mark.slow(seconds=300)
def test_a_killed_primary_and_a_switch_over_lose_nothing(tmp_path: Path) -> None:
    words = ["--platforms", "", "--rounds", "1", "--only", "kill_primary,switch_over"]
    command = [sys.executable, "-m", "tests.drills", *words, "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=800)
    assert (tmp_path / "drills.json").exists(), ended.stdout + ended.stderr
    body = json.loads((tmp_path / "drills.json").read_text())["body"]
    assert body["summary"]["drills"] == 2
    assert body["summary"]["acknowledged"] > 100
    lost = [body["summary"][name] for name in ("lost", "doubled", "out_of_order")]
    assert lost == [0, 0, 0]
    assert body["summary"]["rto_max_s"] < 120
    assert len(list(tmp_path.glob("*.pdf"))) == 2
