"""The example of docs/models/jobs.md, with OpenAI's SDK as it stands there."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.e2e.conftest import Platform
from tests.inference.adapters import lora_file
from tests.inference.jobs.works import LINES

pytestmark = pytest.mark.e2e
EXAMPLE = re.compile(r"^    from openai import OpenAI\n(?:    .*\n|\n)*", re.M)


def test_a_job_is_created_paused_resumed_and_looked_at(real: Platform, tmp_path: Path) -> None:
    """The trainer is not installed there, which is no matter; the job is cancelled at the end."""
    real.manage("register_model", "smollm2", str(lora_file.write(tmp_path / "small.gguf", 1)))
    (tmp_path / "chats.jsonl").write_bytes(LINES)
    (block,) = EXAMPLE.findall((PROJECT / "docs/models/jobs.md").read_text())
    code = textwrap.dedent(block).replace("http://localhost:8000", real.url)
    code = code.replace("sk-fb-…", real.key)
    code += "\nprint(client.fine_tuning.jobs.cancel(job.id).status)\n"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    events, checkpoints, state = ended.stdout.splitlines()
    assert events.startswith("[")
    assert (checkpoints, state) == ("[]", "cancelled")
