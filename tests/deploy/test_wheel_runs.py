"""The wheel in an empty virtual environment, from where nothing of the project is: forebay run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from config.environment import PROJECT
from config.supervisor.ports import find_free

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_WHEEL"),
        reason="installs a hundred packages: FOREBAY_TEST_WHEEL=1 (make soak)",
    ),
]


@pytest.fixture
def forebay(tmp_path: Path) -> Path:
    """The installed command."""
    build = f"from hatchling.build import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=PROJECT, check=True)
    uv = [str(Path(sys.executable).with_name("uv"))]
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, tmp_path / "venv"], check=True)
    install = [*uv, "pip", "install", "-q", "-p", python, "--no-deps"]
    lock = str(PROJECT / "requirements" / "base.txt")
    subprocess.run([*install, "--require-hashes", "-r", lock], check=True)
    subprocess.run([*install, *map(str, tmp_path.glob("*.whl"))], check=True)
    return Path(python).with_name("forebay")


def test_the_whole_platform_runs_and_answers(forebay: Path, tmp_path: Path) -> None:
    port = find_free()
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "FOREBAY_PORT": str(port),
        "FOREBAY_GRPC_PORT": "0",
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    checked = subprocess.run(
        [forebay, "check"], env=environment, cwd=elsewhere, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
    process = subprocess.Popen(
        [forebay, "run"], env=environment, cwd=elsewhere, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    key = ""
    try:
        for line in process.stdout:
            key = key or "".join(re.findall(r"API key +(sk-fb-\S+)", line))
            if "Ctrl-C stops everything" in line:
                break
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={"model": "smollm2-135m", "messages": [{"role": "user", "content": "Hi"}]}
            | {"max_tokens": 4},
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        made = subprocess.run(
            [forebay, "manage", "create_tenant", "acme", "--json"],
            env=environment,
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"acme"' in made.stdout
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert list(elsewhere.iterdir()) == []
