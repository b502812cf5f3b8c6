"""Every slot of the real engine is busy with batch work, and somebody comes who cannot wait."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from tests.e2e.ask import Record, events, eventually
from tests.e2e.conftest import Platform
from tests.e2e.test_embedded_engine import MODEL, PLAIN

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
SLOTS = 16
COME = 3
ASKED = {"model": MODEL, "messages": PLAIN, "max_tokens": 32, "temperature": 0}


def client(platform: Platform) -> httpx.Client:
    headers = {"Authorization": f"Bearer {platform.key}"}
    return httpx.Client(base_url=platform.url, headers=headers, timeout=600)


def whole(
    asking: httpx.Client, klass: str = "batch", **fields: Any
) -> tuple[str, str, dict[str, Any]]:
    """Request id, text and usage."""
    headers = {"x-forebay-class": klass}

    def taken() -> httpx.Response | None:
        """A platform that is busy says so."""
        answer = asking.post("/v1/chat/completions", json=ASKED | fields, headers=headers)
        assert answer.status_code in (200, 503), answer.text
        return answer if answer.status_code == 200 else None

    answer = eventually(taken, 120)
    found = answer.json()
    usage = found["usage"] | {"parked": int(answer.headers.get("x-forebay-preemptions", 0))}
    return answer.headers["x-request-id"], found["choices"][0]["message"]["content"], usage


def streamed(asking: httpx.Client) -> tuple[str, str, dict[str, Any]]:
    fields = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"x-forebay-class": "batch"}
    with asking.stream("POST", "/v1/chat/completions", json=fields, headers=headers) as answer:
        got = list(events(answer.iter_lines()))
        request_id = answer.headers["x-request-id"]
    assert [number for number, _ in got] == list(range(1, len(got) + 1))
    chunks = [json.loads(data) for _, data in got[:-1]]
    pieces = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
    return request_id, "".join(pieces), chunks[-1]["usage"]


@pytest.mark.soak
@pytest.mark.slow(seconds=40)
def test_who_cannot_wait_begins_and_the_others_texts_are_whole(real: Platform) -> None:
    with (
        client(real) as asking,
        ThreadPoolExecutor(SLOTS) as pool,
        redis.Redis.from_url(real.running()["REDIS_URL"]) as queue,
    ):
        _, text, counted = whole(asking)
        ways = [streamed if n % 4 == 0 else whole for n in range(SLOTS)]
        work = [pool.submit(way, asking) for way in ways]
        eventually(lambda: queue.zcard(f"q:{{{MODEL}}}:parkable") == SLOTS, 200)
        whole(asking, "realtime", max_tokens=2)
        assert not any(each.done() for each in work)
        for _ in range(COME - 1):
            whole(asking, "realtime", max_tokens=2)
        ended = [each.result() for each in work]
    for _, said, usage in ended:
        assert said == text
        for name in ("prompt_tokens", "completion_tokens"):
            assert usage[name] == counted[name]
    for request_id, _, usage in ended:  # a stream's header has left before
        (row,) = Record(real, request_id).usage()
        assert usage.get("parked", row["preemptions"]) == row["preemptions"]
    rows = [row for request_id, _, _ in ended for row in Record(real, request_id).usage()]
    assert len(rows) == SLOTS
    for name in ("prompt_tokens", "completion_tokens"):
        assert {row[name] for row in rows} == {counted[name]}
    assert 1 <= sum(row["preemptions"] for row in rows) <= COME
    assert not list(queue.scan_iter("parked:*"))
