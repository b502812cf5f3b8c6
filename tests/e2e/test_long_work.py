"""Long work survives what happens to a platform in an hour: no step is done or paid for twice.

`make soak`: FOREBAY_TEST_COUNT_S=3600, with all of it ten times.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import redis

from bench.servers.child import Child
from config.environment import PROJECT
from tests.e2e.ask import Record, chat, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.test_faults import kill
from tests.inference.counting import DIARY, GPU_MS, done_again
from tests.upgrades.next_version import NEXT, write_next_version

SECONDS = float(os.environ.get("FOREBAY_TEST_COUNT_S", "30"))  # of work, without its pauses
ROUNDS = max(1, int(SECONDS / 360))
IN_A_HURRY = 10 if SECONDS > 60 else 3  # requests that take its slot, in each round
STEP_S = 0.15
STEPS = int(SECONDS / STEP_S)
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600 + 4 * SECONDS)]
_SAYS_ITS_VERSION = """
import runpy
from infrastructure import release
print(release.VERSION, flush=True)
runpy.run_module("config.supervisor", run_name="__main__")
"""
PRICE = """
    insert into tenants_price (model, pool, prompt, cached, completion, ended, since)
    values ('mock', '', 10, 10, 100, false, now()) returning id"""
KNOWN_S = 5.0  # each process has heard of a price by then


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With one slot: any other request needs that of the count."""
    engine.behave(tokens=2, interval_ms=1)
    served = {
        "kind": "openai",
        "url": f"http://127.0.0.1:{engine.port}/v1",
        "slots": 1,
        "context_length": 10**6,
    }
    folder = tmp_path_factory.mktemp("long-work")
    variables = {
        "DJANGO_SETTINGS_MODULE": "tests.e2e.counting_settings",
        DIARY: str(folder / "diary"),
    }
    variables["PYTHONPATH"] = str(PROJECT)
    platform = Platform(folder, {"mock": served}, variables=variables)
    yield platform
    platform.stop()


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("next") / "forebay"
    write_next_version(tree)
    return tree


class Count:
    """A client that asks for a count, and asks again with the same key until it has the answer."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._key = platform, platform.key_of("counters", "--tier", "vip")
        self._once = uuid4().hex
        self.answer: httpx.Response | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        wish = json.dumps({"steps": STEPS, "step_s": STEP_S})
        body = {"model": "mock", "prompt": wish, "max_tokens": 4 * STEPS}
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": self._once}
        url = f"{self._platform.url}/v1/completions"
        while self.answer is None:
            try:
                answer = httpx.post(url, json=body, headers=headers, timeout=SECONDS * 4 + 300)
                if answer.is_success or answer.status_code not in (409, 429, 503):
                    self.answer = answer
            except httpx.HTTPError:
                pass
            time.sleep(0.5)

    def result(self) -> httpx.Response:
        self._thread.join(SECONDS * 3 + 240)
        assert self.answer is not None
        return self.answer


class Story:
    """What befalls the platform while somebody counts on it."""

    def __init__(self, platform: Platform, next_version: Path) -> None:
        self._platform, self._next = platform, next_version
        self._newer = False  # the next version runs

    @property
    def lines(self) -> list[str]:
        diary = Path(self._platform.env[DIARY])
        return diary.read_text().splitlines() if diary.exists() else []

    def reaches(self, step: int) -> None:
        eventually(lambda: self._at() >= step, 120 + 3 * SECONDS / ROUNDS)

    def goes_on(self) -> None:
        self.reaches(self._at() + 3)

    def _at(self) -> int:
        return max((int(line.split()[1]) for line in self.lines), default=-1)

    def worker_is_killed(self) -> None:
        kill(self._platform.pids("worker"))
        self.goes_on()

    def redis_is_lost(self) -> None:
        with redis.Redis.from_url(self._platform.running()["REDIS_URL"]) as server:
            server.flushall()
        kill(self._platform.pids("valkey"))
        self.goes_on()

    def others_cannot_wait(self) -> None:
        before = self._preemptions()
        for number in range(1, IN_A_HURRY + 1):
            assert chat(self._platform, max_tokens=1).status_code == 200
            eventually(lambda number=number: self._preemptions() >= before + number, 30)  # type: ignore[misc]
            self.goes_on()

    def _preemptions(self) -> int:
        rows = self._platform.rows("select coalesce(sum(preemptions), 0) from inference_checkpoint")
        return int(rows[0][0])

    def it_is_started_anew(self) -> None:
        self._starts(PROJECT)

    def it_is_upgraded(self) -> None:
        self._newer = not self._newer
        self._starts(self._next if self._newer else PROJECT)
        log = self._platform.child.log.read_text()
        assert (NEXT in log) == self._newer, log[-2000:]

    def _starts(self, tree: Path) -> None:
        platform = self._platform
        assert platform.stop() < 25, "it waits for a step, not for the work"
        env = {**platform.env, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "platform")])}
        platform.child = Child(
            [sys.executable, "-c", _SAYS_ITS_VERSION], platform.child.log, env, tree
        )
        platform.child.wait_until_ready(f"{platform.url}/readyz", 120)
        self.goes_on()


@pytest.mark.slow(seconds=max(80, 2 * SECONDS))  # the longest in `make soak` begins first
def test_a_count_survives_whatever_happens(platform: Platform, next_version: Path) -> None:
    platform.rows(PRICE)
    time.sleep(KNOWN_S + 0.5)
    count, story = Count(platform), Story(platform, next_version)
    for number in range(ROUNDS):
        story.reaches(max(2, STEPS * number // ROUNDS))
        story.worker_is_killed()
        story.others_cannot_wait()
        story.redis_is_lost()
        story.it_is_started_anew()
        story.it_is_upgraded()
        assert count.answer is None, "it was over before all of it had happened"
    answer = count.result()
    assert answer.json() == {"counted": list(range(STEPS))}
    assert done_again(story.lines) == []
    (row,) = Record(platform, answer.headers["x-request-id"]).usage()
    assert row["gpu_ms"] == STEPS * GPU_MS
    assert (row["prompt_tokens"], row["completion_tokens"]) == (STEPS, 2 * STEPS)
    assert row["cost"] == STEPS * 10 + 2 * STEPS * 100
    assert row["preemptions"] >= IN_A_HURRY * ROUNDS
    settled = Record(platform, answer.headers["x-request-id"]).actions()
    assert settled == ["completion:received", "completion:completed"]
    eventually(lambda: platform.rows("select 1 from inference_checkpoint") == [], 10)
