"""No process grows under load of all kinds. `make soak`: twenty minutes (FOREBAY_TEST_LOAD_S)."""

import gzip
import json
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from statistics import median

import httpx
import pytest

from bench.servers.processes import role, tree
from tests.e2e.ask import body, client, events, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.test_faults import settled_exactly_once

LOAD_S = float(os.environ.get("FOREBAY_TEST_LOAD_S", "300"))
pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(LOAD_S + 600)]
CLIENTS, LOOKS = 12, 60
OURS = ("web", "grpc", "worker", "jobs", "beat", "supervisor")
CHAT = "/v1/chat/completions"
# Of twenty minutes: buffers and caches that are still filling after half of them.
GROWTH, GROWTH_MB = 1.10, 8.0


class Load:
    """Clients that ask without pause, each for the next kind of thing in turn."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._key = platform, platform.key
        self._numbers, self._is_over = count(), threading.Event()
        self.statuses: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        with client(self._platform, self._key) as asking:
            while not self._is_over.is_set():
                number = next(self._numbers)
                kind = KINDS[number % len(KINDS)]
                with suppress(httpx.HTTPError):
                    status = kind(self._platform, asking, number)
                    self.statuses[kind.__name__, status] += 1


# One request each: they return its status --------------------------------------------------------
def whole(platform: Platform, asking: httpx.Client, number: int) -> int:
    return asking.post(CHAT, json=body(max_tokens=5, user=f"n{number}")).status_code


def streamed(platform: Platform, asking: httpx.Client, number: int) -> int:
    with asking.stream("POST", CHAT, json=body(max_tokens=9, stream=True)) as answer:
        for _ in events(answer.iter_lines()):
            pass
        return answer.status_code


def left(platform: Platform, asking: httpx.Client, number: int) -> int:
    """Its client goes away after the first event."""
    with asking.stream("POST", CHAT, json=body(max_tokens=64, stream=True)) as answer:
        next(events(answer.iter_lines()), None)
        return answer.status_code


def over_grpc(platform: Platform, asking: httpx.Client, number: int) -> int:
    with FRONT_ENDS["grpc"](platform).client(platform.key) as calling:
        return calling.chat(max_tokens=3).status


def large(platform: Platform, asking: httpx.Client, number: int) -> int:
    content = f"{number} " + "word " * 8_000
    messages = [{"role": "user", "content": content}]
    return asking.post(CHAT, json=body(messages=messages, max_tokens=2)).status_code


def packed(platform: Platform, asking: httpx.Client, number: int) -> int:
    raw = json.dumps(body(max_tokens=2, user="x" * 20_000)).encode()
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    return asking.post(CHAT, content=gzip.compress(raw), headers=headers).status_code


def refused(platform: Platform, asking: httpx.Client, number: int) -> int:
    return asking.post(CHAT, json=body(**{f"field{number}": "x" * 1000})).status_code


def unknown_key(platform: Platform, asking: httpx.Client, number: int) -> int:
    headers = {"authorization": f"Bearer {platform.key[:-6]}{number:06}"}
    return asking.get("/v1/models", headers=headers).status_code


def repeated(platform: Platform, asking: httpx.Client, number: int) -> int:
    headers = {"idempotency-key": f"key-{number // 20}"}
    return asking.post(CHAT, json=body(max_tokens=2), headers=headers).status_code


def stored(platform: Platform, asking: httpx.Client, number: int) -> int:
    files = {"file": ("lines.jsonl", b"x" * 100_000)}
    file = asking.post("/v1/files", data={"purpose": "batch"}, files=files)
    if file.status_code == 200:
        asking.delete(f"/v1/files/{file.json()['id']}")
    return file.status_code


def of_a_batch(platform: Platform, asking: httpx.Client, number: int) -> int:
    if number // len(KINDS) % 20:  # seldom: each leaves rows and files
        return whole(platform, asking, number)
    line = {"custom_id": "1", "method": "POST", "url": CHAT, "body": body(max_tokens=2)}
    files = {"file": ("lines.jsonl", json.dumps(line).encode())}
    file = asking.post("/v1/files", data={"purpose": "batch"}, files=files).json()
    fields = {"input_file_id": file.get("id"), "endpoint": CHAT, "completion_window": "24h"}
    return asking.post("/v1/batches", json=fields).status_code


def page(platform: Platform, asking: httpx.Client, number: int) -> int:
    return httpx.get(f"{platform.url}/login/").status_code


Kind = Callable[[Platform, httpx.Client, int], int]
KINDS: list[Kind] = [
    *(whole, streamed, left, large, whole, streamed, over_grpc, refused, packed),
    *(repeated, unknown_key, page, stored, whole, of_a_batch),
]
TAKEN = {"whole", "streamed", "left", "over_grpc", "large", "packed", "repeated", "stored"}


# Memory ------------------------------------------------------------------------------------------
def megabytes(platform: Platform) -> dict[int, tuple[str, float]]:
    """Returns role and resident memory of each of our processes by its id."""
    processes = tree(platform.child.pid)
    roles = {each.pid: role(each.command) or "supervisor" for each in processes}
    return {each.pid: (roles[each.pid], each.rss_mb) for each in processes}


def looks(platform: Platform, load_s: float) -> Iterator[dict[int, tuple[str, float]]]:
    for _ in range(LOOKS):
        time.sleep(load_s / LOOKS)
        yield megabytes(platform)


def grown(sizes: list[float]) -> bool:
    """Returns whether the last sixth is larger than the sixth at the middle."""
    sixth, middle = len(sizes) // 6, len(sizes) // 2
    before, after = median(sizes[middle - sixth : middle]), median(sizes[-sixth:])
    return after > before * GROWTH + GROWTH_MB


@pytest.mark.parametrize(
    ("growth", "is_seen"), [(0.0, False), (0.2, False), (2.0, True)], ids=["none", "little", "leak"]
)
def test_a_leak_would_be_seen(growth: float, is_seen: bool) -> None:
    """Of so many megabytes from one look to the next, and with garbage that comes and goes."""
    assert grown([150 + growth * n + n % 7 for n in range(LOOKS)]) is is_seen


@pytest.mark.slow(seconds=LOAD_S + 60)
def test_no_process_grows_under_load_of_all_kinds(
    doubled: Platform, mock: Mock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # a line for each request
    mock.behave(tokens=20, interval_ms=2)
    eventually(lambda: httpx.get(f"{doubled.url}/readyz").status_code == 200, 60)
    sizes: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    with Load(doubled) as load:
        for look in looks(doubled, LOAD_S):
            for pid, (name, size) in look.items():
                sizes[name, pid].append(size)
    whole_run = {who: of for who, of in sizes.items() if len(of) == LOOKS and who[0] in OURS}
    for who, of in whole_run.items():
        print(who, [round(size) for size in of[:: LOOKS // 6]])  # noqa: T201  # for make soak
    print(dict(load.statuses))  # noqa: T201  # for make soak
    assert {name for name, _ in whole_run} >= {"web", "grpc", "worker", "jobs"}
    assert {name for name, status in load.statuses if status == 200} >= TAKEN
    assert not {who for who, of in whole_run.items() if grown(of)}
    settled_exactly_once(doubled, 120)
