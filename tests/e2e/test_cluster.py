"""The platform on a Valkey Cluster of three nodes, of which each is lost once."""

import json
import os
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import httpx
import pytest

from bench.servers.child import Child, wait_until_listening
from config.supervisor.embedded.valkey import binary
from config.supervisor.ports import find_free
from tests.cluster import Cluster, cluster
from tests.e2e.ask import body, chat, client, events, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.test_faults import settled_exactly_once
from tests.e2e.test_sentinel import Asking

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_HOSTS"), reason="make soak has it (FOREBAY_TEST_HOSTS)"
    ),
]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def platform(
    nodes: Cluster, session_mock: Mock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("on-a-cluster")
    port = find_free()
    broker = Child([str(binary()), "--port", str(port), "--save", ""], folder / "broker.log")
    wait_until_listening(port, 20)
    told = {"REDIS_URL": nodes.url, "FOREBAY_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
    engine = {"kind": "openai", "url": f"http://127.0.0.1:{session_mock.port}/v1", "slots": 8}
    platform = Platform(folder, {"mock": engine}, variables=told)
    yield platform
    platform.stop()
    broker.stop()


def test_answers_streams_and_what_is_kept(platform: Platform, mock: Mock) -> None:
    mock.behave(tokens=8)
    assert chat(platform).status_code == 200
    with client(platform) as asking:
        with asking.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer:
            lines = list(events(answer.iter_lines()))
            completion = answer.headers["x-request-id"]
        again = asking.get(f"/v1/completions/{completion}/events", headers={"last-event-id": "3"})
        told = {"idempotency-key": str(uuid4())}
        twice = [
            asking.post("/v1/chat/completions", json=body(), headers=told).json() for _ in range(2)
        ]
    assert lines[-1][1] == "[DONE]"
    assert list(events(iter(again.text.splitlines())))[0][0] == 4
    assert twice[0]["id"] == twice[1]["id"]


def test_limits(platform: Platform, mock: Mock) -> None:
    mock.behave(tokens=1)
    platform.manage("create_tenant", "few", "--requests-per-minute", "3", "--burst", "3", "--json")
    key = json.loads(platform.manage("create_api_key", "few", "--name", "k", "--json"))["api_key"]
    with client(platform, key) as asking:
        told = [asking.post("/v1/chat/completions", json=body(max_tokens=1)) for _ in range(5)]
    assert [answer.status_code for answer in told] == [200, 200, 200, 429, 429]


def test_each_node_is_lost_once(platform: Platform, nodes: Cluster, mock: Mock) -> None:
    mock.behave(tokens=20, interval_ms=20)
    with Asking(platform) as plain, Asking(platform, stream=True) as streams:
        for node in nodes.nodes:
            seen = len(plain.answers), len(streams.answers)
            node.lose()
            node.start()
            eventually(nodes.is_whole, 30)
            eventually(partial(_answered, plain, seen[0]), 60)
            eventually(partial(_answered, streams, seen[1]), 60)
    for answer in (*plain.answers, *streams.answers):
        assert answer.status_code in (200, 503), answer.text
    settled_exactly_once(platform)
    print(f"\n{len(plain.answers)} answers, {len(streams.answers)} streams")


def _answered(asking: Asking, since: int) -> bool:
    """Two more whole ones."""
    return [answer.status_code for answer in asking.answers[since:]].count(200) > 2


def test_a_console_page_and_the_pages_of_engines(platform: Platform) -> None:
    ready = httpx.get(f"{platform.url}/readyz").json()
    assert all(ready["checks"].values()), ready
    assert "closed" in platform.manage("breaker", "--json")
