"""A response in the background, through its platform's and its client's deaths."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from bench.mock_engine.answers import words
from tests.e2e.ask import Record, chat, client, eventually
from tests.e2e.conftest import Mock, Platform, start_mock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
PATH = "/v1/responses"
ASK = {"model": "mock", "input": "Say hi.", "background": True}
DELTA, END = "response.output_text.delta", "response.completed"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def running(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 16}
    platform = Platform(tmp_path_factory.mktemp("background"), {"mock": served})
    yield platform
    platform.stop()


@pytest.fixture
def platform(running: Platform, engine: Mock) -> Platform:
    """A platform whose engine answers as usual when a test begins."""
    engine.behave()
    eventually(lambda: chat(running, max_tokens=1).status_code == 200, 60)
    return running


def kill(platform: Platform, role: str) -> None:
    pids = platform.pids(role)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def ended(platform: Platform, response: Json) -> Json:
    def over() -> Json | None:
        with client(platform) as asking:
            polled: Json = asking.get(f"{PATH}/{response['id']}").json()
        return polled if polled.get("status") in ("completed", "cancelled", "failed") else None

    response = eventually(over, 60)
    return response


def text(response: Json) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def record_of(platform: Platform, response: Json) -> Record:
    return Record(platform, response["id"].removeprefix("resp_"))


@contextmanager
def streamed(platform: Platform, **fields: Any) -> Iterator[Iterator[Json]]:
    with (
        client(platform) as asking,
        asking.stream("POST", PATH, json={**ASK, "stream": True, **fields}) as reply,
    ):
        yield events(reply)


def events(reply: httpx.Response) -> Iterator[Json]:
    for line in reply.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def settled_once(platform: Platform, response: Json) -> None:
    record = record_of(platform, response)
    assert record.actions() == ["completion:received", "completion:completed"]
    assert len(record.usage()) == 1


@pytest.mark.soak("roles0")
@pytest.mark.soak("roles1")
@pytest.mark.parametrize("roles", [["web"], ["worker"], ["web", "worker"], ["valkey"]])
def test_it_outlives_killed_processes(platform: Platform, engine: Mock, roles: list[str]) -> None:
    engine.behave(delay_ms=1500, tokens=5)
    with client(platform) as asking:
        created = asking.post(PATH, json=ASK).json()
    assert created["status"] == "queued"
    eventually(lambda: engine.state()["running"] == 1, 5)
    for role in roles:
        kill(platform, role)
    over = ended(platform, created)
    assert (over["status"], text(over)) == ("completed", words(5))
    settled_once(platform, over)
    (usage,) = record_of(platform, over).usage()
    assert usage["attempts"] == (2 if "worker" in roles else 1)


def test_its_stream_goes_on_at_another_process(platform: Platform, engine: Mock) -> None:
    engine.behave(tokens=100, interval_ms=20)
    seen = list[Json]()
    with streamed(platform) as reading:
        for event in reading:
            seen.append(event)
            if sum(each["type"] == DELTA for each in seen) == 10:
                break
        kill(platform, "web")
    created, last = seen[0]["response"], seen[-1]["sequence_number"]

    def rest() -> list[Json] | None:
        query = {"stream": "true", "starting_after": str(last)}
        with (
            client(platform) as asking,
            asking.stream("GET", f"{PATH}/{created['id']}", params=query) as reply,
        ):
            more = list(events(reply))
        return more if more and more[-1]["type"] == END else None

    seen += eventually(rest, 30)
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert "".join(event["delta"] for event in seen if event["type"] == DELTA) == words(100)
    assert text(seen[-1]["response"]) == words(100)
    settled_once(platform, created)


def test_its_client_may_leave(platform: Platform, engine: Mock) -> None:
    engine.behave(tokens=60, interval_ms=20)
    with streamed(platform) as reading:
        created = next(reading)["response"]
    over = ended(platform, created)
    assert (over["status"], text(over)) == ("completed", words(60))
    settled_once(platform, over)


def test_its_cancellation_frees_the_engine(platform: Platform, engine: Mock) -> None:
    engine.behave(tokens=10_000, interval_ms=20)
    with streamed(platform) as reading:
        created = next(reading)["response"]
    with client(platform) as asking:
        assert engine.state()["running"] == 1
        cancelled = asking.post(f"{PATH}/{created['id']}/cancel").json()
    assert cancelled["status"] == "cancelled"
    eventually(lambda: engine.state()["running"] == 0, 5)
    settled_once(platform, created)
    assert record_of(platform, created).state() == "cancelled"


def test_a_foreground_one_ends_with_its_client(platform: Platform, engine: Mock) -> None:
    engine.behave(tokens=10_000, interval_ms=20)
    with streamed(platform, background=False) as reading:
        created = next(reading)["response"]
    eventually(lambda: record_of(platform, created).state() == "cancelled", 10)
    with client(platform) as asking:
        assert asking.get(f"{PATH}/{created['id']}").json()["status"] == "cancelled"
