"""A model with two pools, each with a worker of its own: one engine dies, the other serves."""

from collections.abc import Iterator

import pytest

from tests.e2e.ask import Record, chat, client, events, eventually, stream
from tests.e2e.conftest import MOCK_SLOTS, Mock, Platform, start_mock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mock, Mock]]:
    mocks = [start_mock(tmp_path_factory.mktemp(name)) for name in ("near", "far")]
    yield mocks[0], mocks[1]
    for mock in mocks:
        mock.child.stop()


@pytest.fixture(scope="module")
def platform(
    engines: tuple[Mock, Mock], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    pools = {
        name: {"url": f"http://127.0.0.1:{mock.port}/v1"}
        for name, mock in zip(("near", "far"), engines, strict=True)
    }
    model = {"kind": "openai", "slots": MOCK_SLOTS, "context_length": 4096, "pools": pools}
    running = Platform(tmp_path_factory.mktemp("pools"), {"mock": model})
    yield running
    running.stop()


def pool_of(platform: Platform, request_id: str) -> str:
    (row,) = Record(platform, request_id).usage()
    return str(row["pool"])


def test_each_pool_has_its_worker_and_the_first_serves(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    assert len(platform.pids("worker")) == 2
    answer = chat(platform)
    assert answer.status_code == 200
    assert pool_of(platform, answer.headers["x-request-id"]) == "near"
    assert answer.headers["x-forebay-upstream"] == "near/near/openai"


def test_when_its_engine_dies_the_other_pool_answers_and_the_books_are_right(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    near, far = engines
    near.child.stop()
    with client(platform) as asking:  # before anybody has noticed: it is handed over
        answers = [asking.post("/v1/chat/completions", json=_BODY) for _ in range(3)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-forebay-upstream"] == "far/far/openai"
        record = Record(platform, answer.headers["x-request-id"])
        (usage,) = record.usage()
        assert (usage["pool"], usage["error_code"]) == ("far", "")
        assert usage["completion_tokens"] == answer.json()["usage"]["completion_tokens"]
        assert record.state() == "done"
    with stream(platform) as answer:
        assert [data for _, data in events(answer.iter_lines())][-1] == "[DONE]"
    assert eventually(lambda: far.state()["running"] == 0, 5)


_BODY = {"model": "mock", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
