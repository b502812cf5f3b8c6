"""Redis stopped, slow or emptied in a burst: limits hold, nobody hangs, nothing is billed twice."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
import redis

from tests.e2e.ask import Record, body, chat, client, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.test_faults import settled_exactly_once
from tests.e2e.test_limits import look
from tests.frozen import frozen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
RATE, BURST = 60, 20


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 16}
    platform = Platform(tmp_path_factory.mktemp("redis-faults"), {"mock": served})
    yield platform
    platform.stop()


@pytest.fixture
def healthy(platform: Platform, engine: Mock) -> Platform:
    engine.behave(tokens=1)
    eventually(lambda: chat(platform, max_tokens=1).status_code == 200, 60)
    eventually(lambda: not limits(platform)["alone"], 20)
    return platform


def limits(platform: Platform) -> dict[str, object]:
    return dict(httpx.get(f"{platform.url}/readyz").json()["limits"])


def limited_key(platform: Platform) -> str:
    name = f"t{uuid4().hex[:8]}"
    rate = ("--requests-per-minute", str(RATE), "--burst", str(BURST))
    platform.manage("create_tenant", name, *rate, "--max-concurrency", "0", "--json")
    made = json.loads(platform.manage("create_api_key", name, "--name", "k", "--json"))
    return str(made["api_key"])


class Rush:
    """Clients of one key that ask without pause; who was let in is counted."""

    def __init__(self, platform: Platform, key: str, size: int = 6) -> None:
        self.platform, self.key = platform, key
        self.answers: list[httpx.Response] = []
        self.slowest_refusal_s = 0.0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(size)]

    def __enter__(self) -> "Rush":
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        self.seconds = time.monotonic() - self.began

    def _ask(self) -> None:
        with client(self.platform, self.key) as asking:
            while not self.over.is_set():
                began = time.monotonic()
                answer = asking.post("/v1/chat/completions", json=body(max_tokens=1))
                self.answers.append(answer)
                if answer.status_code == 429:
                    took = time.monotonic() - began
                    self.slowest_refusal_s = max(self.slowest_refusal_s, took)
                time.sleep(0.02)

    def let_in(self) -> int:
        return sum(answer.status_code != 429 for answer in self.answers)


def stop_and_go(platform: Platform) -> None:
    with frozen(*platform.pids("valkey")):
        time.sleep(3)


def flush(platform: Platform) -> None:
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as server:
        server.flushall()


def kill(platform: Platform) -> None:
    for pid in platform.pids("valkey"):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.soak("kill")
@pytest.mark.soak("stop_and_go")
@pytest.mark.parametrize("hurt", [stop_and_go, flush, kill])
def test_in_a_burst_the_bound_holds(healthy: Platform, hurt: Callable[[Platform], None]) -> None:
    with Rush(healthy, limited_key(healthy)) as rush:
        eventually(lambda: len(rush.answers) > rush.let_in(), 20)  # the burst is used up
        hurt(healthy)
        time.sleep(5)
    assert {answer.status_code for answer in rush.answers} <= {200, 429, 503}
    assert 5 <= rush.let_in() <= BURST + RATE / 60 * rush.seconds + 1
    assert rush.slowest_refusal_s < 5
    refused = [answer for answer in rush.answers if answer.status_code == 429]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert all(answer.json()["error"]["refusal_id"] for answer in refused)
    eventually(lambda: not limits(healthy)["alone"], 20)
    settled_exactly_once(healthy)


@pytest.mark.slow(seconds=15)
def test_a_frozen_redis_does_not_hold_a_client_for_ever(healthy: Platform, engine: Mock) -> None:
    before = engine.state()["requests"]
    with frozen(*healthy.pids("valkey")):
        began = time.monotonic()
        answer = chat(healthy, max_tokens=1)
        took = time.monotonic() - began
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert took < 20
        told = httpx.get(f"{healthy.url}/readyz", timeout=20)
        assert (told.status_code, told.json()["limits"]["alone"]) == (503, True)
        (request_id,) = look(
            healthy,
            "select completion_id from inference_usage where error_code = 'not_queued'",
        )[0]
    record = Record(healthy, str(request_id))
    (usage,) = record.usage()
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["cost"]) == (0, 0, 0)
    assert record.actions() == ["completion:received", "completion:completed"]
    eventually(lambda: chat(healthy, max_tokens=1).status_code == 200, 30)
    settled_exactly_once(healthy)
    assert len(record.usage()) == 1
    assert engine.state()["requests"] == before + 1  # the one after; the other never ran


def test_a_short_freeze_only_delays(healthy: Platform) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(chat(healthy, max_tokens=1)))
    with frozen(*healthy.pids("valkey")):
        asking.start()
        time.sleep(2)
    asking.join(60)
    assert [answer.status_code for answer in answers] == [200]
    settled_exactly_once(healthy)


def test_places_are_all_given_back_in_the_end(healthy: Platform, engine: Mock) -> None:
    """Whatever happened to Redis in between."""
    engine.behave(tokens=30, interval_ms=10)
    key = limited_key(healthy)
    with Rush(healthy, key, size=3):
        time.sleep(1)
        flush(healthy)
        time.sleep(2)
    settled_exactly_once(healthy)

    def all_free() -> bool:
        with redis.Redis.from_url(healthy.running()["REDIS_URL"]) as server:
            return not any(server.zcard(name) for name in server.scan_iter("{limits}:busy:*"))

    eventually(all_free, 10)
