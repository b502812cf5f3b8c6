"""`make run` starts the real `vllm serve`, brings it back when it dies, and takes it along."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from bench.servers.forebay import Forebay
from bench.servers.processes import all_processes, tree
from tests.supervisor.running import left_of
from tests_vllm import real_vllm
from tests_vllm.real_vllm import START_S

pytestmark = [pytest.mark.unit, pytest.mark.timeout(3 * START_S)]  # the platform is its own
ASKED = {"role": "user", "content": "What is the capital of France?"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forebay]:
    engine = real_vllm.engine(slots=4, context=1024)
    running = Forebay(tmp_path_factory.mktemp("launch"), {"smol": engine}, ready="/livez")
    yield running
    running.stop()


def eventually(holds: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        if found := holds():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {START_S} s: {holds}")


def starting(platform: Forebay) -> tuple[bool, str]:
    asked = "select starting_since is not null, starting_reason from inference_engine"
    with psycopg.connect(platform.running()["DATABASE_URL"]) as connection:
        found = connection.execute(asked).fetchone()
    assert found
    return bool(found[0]), str(found[1])


def says(platform: Forebay) -> str:
    """ "" while it cannot."""
    body = {"model": "smol", "messages": [ASKED], "temperature": 0, "max_tokens": 12}
    answer = httpx.post(
        f"http://127.0.0.1:{platform.port}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {platform.key}"},
        timeout=120,
    )
    return str(answer.json()["choices"][0]["message"]["content"]) if answer.is_success else ""


def servers(platform: Forebay) -> dict[str, int]:
    """The API server and its engine core."""
    return {
        sign: process.pid
        for process in tree(platform.child.pid)
        for sign in ("bin/vllm serve", "VLLM::EngineCore")
        if sign in process.command and "server_group" not in process.command
    }


def test_it_is_starting_and_then_answers(platform: Forebay) -> None:
    assert starting(platform) == (True, "")
    eventually(lambda: not starting(platform)[0])
    assert "Paris" in eventually(lambda: says(platform))


def test_killed_it_comes_back(platform: Forebay) -> None:
    before = servers(platform)
    assert len(before) == 2, before
    os.kill(before["bin/vllm serve"], signal.SIGKILL)
    eventually(lambda: starting(platform)[0])
    assert starting(platform)[1] == "was killed by SIGKILL"
    assert "ALERT engine:server smol" in platform.child.log.read_text()
    assert not set(before.values()) & set(servers(platform).values())
    assert "Paris" in eventually(lambda: says(platform))


def test_it_writes_no_prompt_into_its_log(platform: Forebay) -> None:
    log = (platform.home / "logs" / "engine.smol.log").read_text()
    assert "Application startup complete" in log
    assert "GET /health" not in log
    assert ASKED["content"] not in log
    assert "Paris" not in log


def test_it_ends_with_the_platform(platform: Forebay) -> None:
    running = set(servers(platform).values())
    assert len(running) == 2
    platform.stop()
    assert left_of(platform.home) == []
    eventually(lambda: not running & all_processes().keys())  # its memory takes time to free
