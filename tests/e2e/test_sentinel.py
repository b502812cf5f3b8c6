"""Valkey behind sentinels: its primary dies, and answers go on within seconds."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.ask import body, client, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.sentinels import Watched, watched
from tests.e2e.test_faults import settled_exactly_once
from tests.e2e.test_limits import look

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("sentinels")) as servers:
        yield servers


@pytest.fixture(scope="module")
def platform(
    servers: Watched, session_mock: Mock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    engine = {"kind": "openai", "url": f"http://127.0.0.1:{session_mock.port}/v1", "slots": 8}
    folder = tmp_path_factory.mktemp("watched")
    platform = Platform(folder, {"mock": engine}, variables={"REDIS_URL": servers.url})
    yield platform
    platform.stop()


class Asking:
    """Requests, one after the other, for as long as it lasts."""

    def __init__(self, platform: Platform, **fields: object) -> None:
        self.answers: list[httpx.Response] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(platform, fields))

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self, platform: Platform, fields: dict[str, object]) -> None:
        with client(platform) as asking:
            while not self._over.is_set():
                sent = body(max_tokens=20, **fields)
                self.answers.append(asking.post("/v1/chat/completions", json=sent))
                time.sleep(0.02)


@pytest.mark.soak
@pytest.mark.slow(seconds=12)
def test_a_failover_costs_seconds_and_no_answer(
    platform: Platform, servers: Watched, mock: Mock
) -> None:
    mock.behave(tokens=20, interval_ms=20)
    before = servers.primary
    assert before
    with Asking(platform) as plain, Asking(platform, stream=True) as streams:
        eventually(lambda: len(plain.answers) > 2 and len(streams.answers) > 2, 30)
        os.kill(servers.servers[before].pid, signal.SIGKILL)
        eventually(lambda: servers.primary not in (before, None), 20)
        seen = len(plain.answers), len(streams.answers)
        eventually(lambda: _two_more(plain, seen[0]) and _two_more(streams, seen[1]), 30)
    for answer in (*plain.answers, *streams.answers):
        assert answer.status_code in (200, 503), answer.text
    for answer in streams.answers:
        assert answer.status_code == 503 or "[DONE]" in answer.text or '"error"' in answer.text
    settled_exactly_once(platform)
    recorded = look(platform, "select count(*) from inference_usage where status = 200")[0][0]
    assert recorded >= sum(answer.status_code == 200 for answer in plain.answers)


def _two_more(asking: Asking, seen: int) -> bool:
    return sum(answer.status_code == 200 for answer in asking.answers[seen:]) >= 2
