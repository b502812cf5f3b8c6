"""A process that is still starting answers a scrape: whoever waits sees that it is there."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment import PROJECT
from config.supervisor.ports import find_free
from tests.e2e.ask import eventually


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing: so long a start lasts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def metrics(port: int) -> str:
    """Empty before it listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            return str(answer.read().decode())
    except urllib.error.URLError:
        return ""


@pytest.mark.slow(seconds=20)
def test_a_web_process_answers_before_it_can_work(silent: int, tmp_path: Path) -> None:
    port, of_metrics = find_free(), find_free()
    there = {
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{silent}/nothing",
        "REDIS_URL": f"redis://127.0.0.1:{silent}/0",
        "FOREBAY_HOME": str(tmp_path),
        "FOREBAY_PORT": str(port),
        "FOREBAY_METRICS_PORT": str(of_metrics),
    }
    command = [sys.executable, "-m", "config.web_server"]
    with subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **there}) as process:
        try:
            told = eventually(lambda: metrics(of_metrics), 60)
            assert process.poll() is None
            with pytest.raises(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=0.5)
        finally:
            process.kill()
    assert 'role="web"' in told
    assert "process_cpu_seconds_total" in told
