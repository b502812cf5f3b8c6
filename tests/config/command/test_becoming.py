"""A process that `forebay` becomes is ours, whatever lies in the folder where it was typed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
# `report` loads the app as a worker does, and asks no server.
_BECOME = "from config.command.processes import become; become('config.celery_process', *{})"


def test_a_project_of_the_same_name_in_the_working_folder_is_not_run(tmp_path: Path) -> None:
    for name in ("config", "audit", "celery"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('somebody else')")
    command = [sys.executable, "-P", "-c", _BECOME.format(["-A", "config", "report"])]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "software -> celery" in ended.stdout
