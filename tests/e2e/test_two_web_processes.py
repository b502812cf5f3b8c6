"""Two web processes before the same servers: a bound is one bound, revoking holds in both."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest
from django.conf import settings

from bench.children import Child
from bench.under_test import UNLIMITED
from config.supervisor.ports import find_free
from tests.e2e.ask import body, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.test_limits import key_of, look, new_key, new_tenant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
WEB = ("-m", "uvicorn", "config.asgi:application", "--lifespan", "on", "--log-level", "warning")
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def urls(staged: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Of the platform's own web process, and of a second one beside it."""
    port = find_free()
    command = [sys.executable, *WEB, "--host", "127.0.0.1", "--port", str(port)]
    env = {**staged.env, "FOREBAY_WEB_PROCESSES": "2"}
    child = Child(command, tmp_path_factory.mktemp("second") / "web.log", env)
    second = f"http://127.0.0.1:{port}"
    try:
        child.wait_until_ready(f"{second}/readyz", 60)
        yield [staged.url, second]
    finally:
        child.stop()


async def asked(urls: list[str], key: str, times: int) -> list[httpx.Response]:
    """All at the same moment, in turns of one process and the other."""
    headers = {"Authorization": f"Bearer {key}"}
    most = httpx.Limits(max_connections=times)
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=most) as client:
        sent = body(max_tokens=1)
        calls = [client.post(urls[n % 2] + CHAT, json=sent) for n in range(times)]
        return await asyncio.gather(*calls)


def statuses(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def test_they_share_one_bucket(staged: Platform, mock: Mock, urls: list[str]) -> None:
    mock.behave(tokens=1)
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "10", "--max-concurrency", "0")
    answers = asyncio.run(asked(urls, key, 60))
    assert statuses(answers) == [200] * 10 + [429] * 50
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_they_share_one_budget_from_a_keys_first_request_on(
    staged: Platform, mock: Mock, urls: list[str]
) -> None:
    mock.behave(tokens=1)
    key = key_of(staged, new_tenant(staged, *UNLIMITED), "--quota", "requests/day=10")
    answers = asyncio.run(asked(urls, key, 200))
    assert statuses(answers) == [200] * 10 + [429] * 190
    codes = {a.json()["error"]["code"] for a in answers if a.status_code == 429}
    assert codes == {"insufficient_quota"}


class Reader:
    """A stream from one of them, read by a thread of its own."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self.heard: list[str] = []
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        headers, sent = {"Authorization": f"Bearer {self.key}"}, body(stream=True)
        with httpx.stream("POST", self.url + CHAT, headers=headers, json=sent) as answer:
            self.heard += (line for line in answer.iter_lines() if line.startswith("data: "))
        self.ended_at = time.time()

    def end(self) -> None:
        self._thread.join(30)


def test_a_revoked_key_opens_nothing_in_either_within_a_second(
    staged: Platform, mock: Mock, urls: list[str]
) -> None:
    mock.behave(tokens=600, interval_ms=20)
    made = json.loads(staged.manage("create_api_key", "bench", "--name", str(uuid4()), "--json"))
    key = made["api_key"]
    readers = [Reader(url, key) for url in urls]
    eventually(lambda: mock.state()["running"] == 2)
    revoked_at = revoke(staged, made["id"])
    for reader in readers:
        reader.end()
        assert reader.ended_at - revoked_at < 1.5  # the second, and what the way to us takes
        assert json.loads(reader.heard[-2][6:])["error"]["code"] == "access_revoked"
    time.sleep(max(0.0, revoked_at + 1 - time.time()))
    for url in urls:
        answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401
    still_open = "select 1 from inference_completion where state = 'open'"
    eventually(lambda: not look(staged, still_open), 5)


def revoke(platform: Platform, key_id: str) -> float:
    dsn = platform.running()["DATABASE_URL"]
    with psycopg.connect(dsn, **settings.SEES_ALL) as database:
        database.execute("update tenants_apikey set revoked_at = now() where id = %s", (key_id,))
    return time.time()
