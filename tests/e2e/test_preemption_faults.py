"""Workers and Redis die while requests of all classes push each other out.

`make soak`: 50 kills of the worker and 20 losses of Redis.
"""

import itertools
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
import redis
from django.conf import settings

from tests.e2e.ask import body, chat, events, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.test_faults import kill, settled_exactly_once
from tests.e2e.test_work_class import HEADER

WORKER_KILLS = int(os.environ.get("FOREBAY_TEST_PARKING_KILLS", "3"))
REDIS_LOSSES = int(os.environ.get("FOREBAY_TEST_PARKING_LOSSES", "2"))
SOAKS = WORKER_KILLS > 3
RECOVERED_S = 60.0  # somebody who cannot wait is served again, on a machine that does other work
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900 + 240 * (WORKER_KILLS + REDIS_LOSSES)),
    pytest.mark.skipif(
        "FOREBAY_TEST_PARKING_KILLS" not in os.environ, reason="takes half a minute: make soak"
    ),
]
SLOTS, WORDS = 8, 60
WORK = ["batch whole", "batch stream", "finetune whole", "finetune stream", "preprocess text"]
WHOLE = "".join(f" t{n}" for n in range(WORDS))
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
PARKED = "coalesce(sum(preemptions), 0)"
LOWEST = [["vip", TEXT, "preprocess"], ["vip", "*", "finetune"]]  # of the plan of one tenant


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    """Of a kind that goes on with a text."""
    mock = start_mock(tmp_path_factory.mktemp("engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "vllm", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": SLOTS}
    classes = {"FOREBAY_WORK_CLASSES": json.dumps(LOWEST)}
    folder = tmp_path_factory.mktemp("parking-faults")
    platform = Platform(folder, {"mock": served}, variables=classes)
    yield platform
    platform.stop()


class Askers:
    """Fewer of each class than there are slots and more of all, and some who cannot wait."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.lowest = platform, platform.key_of("lowest", "--tier", "vip")
        self.told: Counter[str] = Counter()  # how requests ended
        self.wrong: list[str] = []  # texts that nobody's engine has said
        self.over = threading.Event()
        some = {"batch": [self._whole, self._stream, self._whole, self._stream]}
        some["finetune"] = [self._whole, self._stream, self._stream]
        some["preprocess"] = [self._text, self._text, self._text]
        some["realtime"] = [self._at_once] * 2
        ways = [(way, name) for name, ways in some.items() for way in ways]
        self.threads = [threading.Thread(target=self._ask, args=asked) for asked in ways]

    def __enter__(self) -> "Askers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(400)

    def _ask(self, way: Callable[[httpx.Client], str], klass: str) -> None:
        """The two lowest classes are those of a plan."""
        key = self.lowest if klass in ("finetune", "preprocess") else self.platform.key
        headers = {"Authorization": f"Bearer {key}"}
        if klass == "batch":
            headers[HEADER] = klass
        with httpx.Client(base_url=self.platform.url, headers=headers, timeout=300) as client:
            while not self.over.is_set():
                try:
                    self.told[f"{klass} {way(client)}"] += 1
                except httpx.HTTPError as problem:
                    self.told[f"{klass} {type(problem).__name__}"] += 1
                    time.sleep(0.2)

    def _judge(self, way: str, text: str, whole: str) -> str:
        if text != whole:
            self.wrong.append(f"{way}: {text}")
        return f"{way} done"

    def _whole(self, client: httpx.Client) -> str:
        answer = client.post(CHAT, json=body())
        if answer.status_code != 200:
            time.sleep(0.2)
            return f"whole {answer.status_code}"
        return self._judge("whole", answer.json()["choices"][0]["message"]["content"], WHOLE)

    def _text(self, client: httpx.Client) -> str:
        asked = {"model": "mock", "prompt": "Say on", "max_tokens": WORDS}
        answer = client.post(TEXT, json=asked)
        if answer.status_code != 200:
            time.sleep(0.2)
            return f"text {answer.status_code}"
        return self._judge("text", answer.json()["choices"][0]["text"], WHOLE)

    def _stream(self, client: httpx.Client) -> str:
        with client.stream("POST", CHAT, json=body(stream=True)) as answer:
            if answer.status_code != 200:
                time.sleep(0.2)
                return f"stream {answer.status_code}"
            said = [data for _, data in events(answer.iter_lines())]
        found = [httpx.Response(200, text=data).json() for data in said if data != "[DONE]"]
        if any("error" in each for each in found):
            return f"stream {found[-1]['error']['code']}"
        pieces = (each["choices"][0]["delta"].get("content") or "" for each in found)
        return self._judge("stream", "".join(pieces), WHOLE)

    def _at_once(self, client: httpx.Client) -> str:
        time.sleep(0.3)
        answer = client.post("/v1/chat/completions", json=body(max_tokens=5))
        return f"at once {answer.status_code}"


def lose_redis(platform: Platform, how: str) -> None:
    if how == "kill":
        return kill(platform.pids("valkey"), signal.SIGKILL)
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as server:
        server.flushall()
    return None


def serves_again(platform: Platform) -> float:
    """Seconds until somebody who cannot wait has an answer."""
    began = time.monotonic()
    eventually(lambda: chat(platform, max_tokens=1).status_code == 200, 200)
    return time.monotonic() - began


def of_classes(platform: Platform, asked: str) -> dict[str, int]:
    """By class, of the usage rows: how many, or how often they were parked."""
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        query = f"select klass, {asked} from inference_usage group by klass"  # noqa: S608  # ours alone
        return {klass: int(found) for klass, found in database.execute(query).fetchall()}


def states(platform: Platform) -> dict[str, int]:
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        query = "select state, count(*) from inference_completion group by state"
        return {state: int(found) for state, found in database.execute(query).fetchall()}


def left(platform: Platform) -> list[int]:
    """In the queue, running, leased."""
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as queue:
        p = "q:{mock}"
        return [queue.hlen(f"{p}:orders"), queue.hlen(f"{p}:on"), queue.zcard(f"{p}:leases")]


@pytest.mark.slow(seconds=60)
def test_every_request_ends_once_whatever_dies(platform: Platform, engine: Mock) -> None:
    engine.behave(tokens=WORDS, interval_ms=20)
    dice = random.Random(12)
    faults = ["worker"] * WORKER_KILLS + ["redis"] * REDIS_LOSSES
    dice.shuffle(faults)
    ways, slowest_s = itertools.cycle(["flush", "kill"]), {"worker": 0.0, "redis": 0.0}
    with Askers(platform) as askers:
        eventually(lambda: sum(of_classes(platform, PARKED).values()) > 0, 200)
        for fault in faults:
            time.sleep(dice.uniform(0.2, 2))
            if fault == "worker":
                kill(platform.pids("worker"))
            else:
                lose_redis(platform, next(ways))
            slowest_s[fault] = max(slowest_s[fault], serves_again(platform))
    settled_exactly_once(platform, 300)
    rows, parked = of_classes(platform, "count(*)"), of_classes(platform, PARKED)
    print("\nended:", dict(sorted(askers.told.items())), states(platform))  # noqa: T201  # what make soak tells
    print("rows:", rows, "parked:", parked)  # noqa: T201  # what make soak tells
    print("longest until somebody was served again, s:", slowest_s)  # noqa: T201  # what make soak tells
    assert askers.wrong == []
    assert states(platform).keys() <= {"done", "failed", "cancelled"}
    assert max(slowest_s.values()) < RECOVERED_S or not SOAKS
    assert all(askers.told[f"{work} done"] > 0 for work in WORK)
    assert rows.keys() == {"realtime", "batch", "finetune", "preprocess"}
    assert parked["realtime"] == 0
    assert sum(parked.values()) > 0
    assert min(parked[name] for name in ("finetune", "preprocess")) > 0 or not SOAKS
    eventually(lambda: left(platform) == [0, 0, 0], 60)
