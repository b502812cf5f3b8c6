"""A client that is generated from the served document works, with the generator's own types.

The generator has a virtual environment of its own, of its lock in tests/frameworks/: `make soak`
(FOREBAY_TEST_FRAMEWORKS=1) fails where that is not to be had.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.servers import random_encoder
from bench.servers.random_encoder import TINY
from tests.e2e.conftest import Mock, Platform
from tests.e2e.test_agent_frameworks import SCRIPTS, environment, run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "FOREBAY_TEST_FRAMEWORKS" not in os.environ, reason="downloads packages: make soak"
    ),
]
NAME = "forebay_client"


@pytest.fixture
def platform(session_mock: Mock, tmp_path: Path) -> Iterator[Platform]:
    """Serves chats by the mock engine, and vectors by a llama.cpp with a tiny model."""
    url = f"http://127.0.0.1:{session_mock.port}/v1"
    file = random_encoder.write(tmp_path / "vectors.gguf")
    engines: dict[str, Any] = {
        "chats": {"kind": "openai", "url": url, "slots": 4, "context_length": 4096},
        "vectors": {"kind": "llama_cpp", "slots": 4, "launch": {"model": str(file)}},
    }
    folder = tmp_path / "platform"
    folder.mkdir()
    running = Platform(folder, engines)
    yield running
    running.stop()


def generate(python: Path, url: str, folder: Path) -> None:
    """Make the package NAME in the folder."""
    config = folder / "config.yml"
    config.write_text(f"package_name_override: {NAME}\nproject_name_override: {NAME}\n")
    command = [str(python.with_name("openapi-python-client")), "generate", "--meta", "none"]
    path = os.pathsep.join((str(python.parent), os.environ["PATH"]))  # it formats with ruff
    ended = subprocess.run(
        [*command, f"--url={url}", f"--config={config}", f"--output-path={folder / NAME}"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "will not be generated" not in ended.stdout, ended.stdout


@pytest.mark.slow(seconds=120)
def test_it_chats_embeds_and_lists_models(platform: Platform, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", SCRIPTS / "generated_client.txt")
    generate(python, f"{platform.url}/v1/openapi.json", tmp_path)
    script = tmp_path / "script.py"  # beside the package that it imports
    script.write_text((SCRIPTS / "generated_client.py").read_text())
    printed = run(str(python), str(script), platform.url, platform.new_key(), "chats", "vectors")
    assert json.loads(printed.splitlines()[-1]) == {
        "models": ["chats", "vectors"],
        "chat": True,
        "embedding": TINY.size,
        "refused": "model_not_found",
    }
