"""Frameworks of agents in their default modes, with a tool, over the bundled model.

Each has a virtual environment of its own, of its lock in tests/frameworks/: `make soak`
(FOREBAY_TEST_FRAMEWORKS=1) fails where that is not to be had.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.environment import PROJECT
from tests.e2e.conftest import Platform
from tests.e2e.test_sdks import MODEL

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "FOREBAY_TEST_FRAMEWORKS" not in os.environ, reason="downloads packages: make soak"
    ),
]
SCRIPTS = PROJECT / "tests" / "frameworks"
CALLED = {
    "langchain_agent": ["get_weather", ["city"]],
    "llama_index_agent": ["get_weather", ["city"]],
    "openai_agents_agent": ["get_weather", ["city"]],
    "pydantic_ai_agent": ["get_city", ["city"]],
}


def environment(folder: Path, lock: Path) -> Path:
    """Returns the interpreter of a new environment with the locked packages."""
    run(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    run(str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock))
    return python


def run(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.mark.slow(seconds=120)
@pytest.mark.parametrize("script", CALLED)
def test_an_agent_with_a_tool_runs_and_a_call_that_it_asks_for_is_made(
    real: Platform, tmp_path: Path, script: str
) -> None:
    python = environment(tmp_path, SCRIPTS / f"{script}.txt")
    asked = f"{real.url}/v1", real.new_key(), MODEL
    printed = run(str(python), str(SCRIPTS / f"{script}.py"), *asked)
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    assert report == {
        "calls": [CALLED[script]],
        "after_result": True,
        "streamed": True,
        "agent": True,
    }
