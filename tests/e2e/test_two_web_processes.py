"""Two web processes at one port: bounds hold for both together, and each goes on with all."""

import asyncio
import json
import os
import signal
import threading
import time
from functools import partial
from uuid import uuid4

import httpx
import psycopg
import pytest
from django.conf import settings

from bench.servers.forebay import UNLIMITED
from config.supervisor.ports import listens
from tests.e2e.ask import Record, body, events, eventually
from tests.e2e.behind import client_of_each, socket_of_each
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends.grpc import Grpc
from tests.e2e.test_limits import key_of, look, new_key, new_tenant
from tests.inference.chat.people import sessions

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
CHAT = "/v1/chat/completions"


# Limits ------------------------------------------------------------------------------------------
async def asked(platform: Platform, key: str, times: int) -> list[httpx.Response]:
    """All at the same moment, each over a connection of its own."""
    headers = {"Authorization": f"Bearer {key}"}
    most = httpx.Limits(max_connections=times)
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=most) as client:
        calls = [client.post(platform.url + CHAT, json=body(max_tokens=1)) for _ in range(times)]
        return await asyncio.gather(*calls)


def statuses(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def test_they_share_one_bucket(doubled: Platform, mock: Mock) -> None:
    mock.behave(tokens=1)
    key = new_key(doubled, "--requests-per-minute", "1", "--burst", "10", "--max-concurrency", "0")
    answers = asyncio.run(asked(doubled, key, 60))
    assert statuses(answers) == [200] * 10 + [429] * 50
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_they_share_the_places_of_requests_at_once(doubled: Platform, mock: Mock) -> None:
    mock.behave(tokens=1, delay_ms=3000)
    key = new_key(doubled, "--requests-per-minute", "0", "--burst", "0", "--max-concurrency", "3")
    assert statuses(asyncio.run(asked(doubled, key, 40))) == [200] * 3 + [429] * 37


def test_they_share_one_budget_from_a_keys_first_request_on(doubled: Platform, mock: Mock) -> None:
    mock.behave(tokens=1)
    key = key_of(doubled, new_tenant(doubled, *UNLIMITED), "--quota", "requests/day=10")
    answers = asyncio.run(asked(doubled, key, 200))
    assert statuses(answers) == [200] * 10 + [429] * 190
    codes = {a.json()["error"]["code"] for a in answers if a.status_code == 429}
    assert codes == {"insufficient_quota"}


# Revoking ----------------------------------------------------------------------------------------
class Reader:
    """A stream, read by a thread of its own."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.heard: list[str] = []
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with self.client.stream("POST", CHAT, json=body(stream=True)) as answer:
            self.heard += (line for line in answer.iter_lines() if line.startswith("data: "))
        self.ended_at = time.time()

    def end(self) -> None:
        self._thread.join(30)


def test_a_revoked_key_opens_nothing_in_either_within_a_second(
    doubled: Platform, mock: Mock
) -> None:
    mock.behave(tokens=600, interval_ms=20)
    made = json.loads(doubled.manage("create_api_key", "bench", "--name", str(uuid4()), "--json"))
    with client_of_each(doubled, made["api_key"]) as clients:
        readers = [Reader(client) for client in clients.values()]
        eventually(lambda: mock.state()["running"] == 2)
        revoked_at = revoke(doubled, made["id"])
        for reader in readers:
            reader.end()
            assert reader.ended_at - revoked_at < 1.5  # the second, and what the way to us takes
            assert json.loads(reader.heard[-2][6:])["error"]["code"] == "access_revoked"
    time.sleep(max(0.0, revoked_at + 1 - time.time()))
    with client_of_each(doubled, made["api_key"]) as clients:
        for client in clients.values():
            assert client.get("/v1/models").status_code == 401
    still_open = "select 1 from inference_completion where state = 'open'"
    eventually(lambda: not look(doubled, still_open), 5)


def revoke(platform: Platform, key_id: str) -> float:
    dsn = platform.running()["DATABASE_URL"]
    with psycopg.connect(dsn, **settings.SEES_ALL) as database:
        database.execute("update tenants_apikey set revoked_at = now() where id = %s", (key_id,))
    return time.time()


# What one began, the other goes on with ----------------------------------------------------------
def test_a_stream_is_read_on_in_the_other_and_cancelled_from_a_third(
    doubled: Platform, mock: Mock
) -> None:
    mock.behave(tokens=600, interval_ms=20)
    with client_of_each(doubled, doubled.key) as clients:
        one, other = clients.values()
        with one.stream("POST", CHAT, json=body(stream=True)) as answer:
            own = events(answer.iter_lines())
            heard = [next(own) for _ in range(5)]
            request_id = json.loads(heard[0][1])["id"]
            path, after = f"/v1/completions/{request_id}/events", {"Last-Event-ID": "3"}
            with other.stream("GET", path, headers=after) as again:
                read_on = events(again.iter_lines())
                assert [next(read_on), next(read_on)] == heard[3:]
                with Grpc(doubled).client(doubled.key) as third:
                    assert third.cancel(answer.headers["x-request-id"]).was_running
                rest = list(read_on)
            assert list(own) == rest
            assert len(rest) < 500
    record = Record(doubled, request_id)
    eventually(lambda: record.state() == "cancelled", 5)
    assert len(record.usage()) == 1


@pytest.mark.soak
def test_a_chat_goes_on_in_a_tab_at_the_other(doubled: Platform, mock: Mock) -> None:
    mock.behave(tokens=1000, interval_ms=10)
    with socket_of_each(doubled, sessions(doubled)["bob"], "acme") as tabs:
        one, other = tabs.values()
        answer = one.send()["answer"]["id"]
        other.say("follow", message=answer, after=0)
        read_on = other.pieces()
        assert [next(read_on)[0] for _ in range(5)] == [1, 2, 3, 4, 5]
        other.say("stop", message=answer)
        for tab in (one, other):
            assert tab.hear_until("end")["finish_reason"] == "cancelled"


def test_the_embedded_database_has_connections_for_all(doubled: Platform) -> None:
    assert look(doubled, "show max_connections") == [("352",)]  # with room for five engines to come


# Dying -------------------------------------------------------------------------------------------
def test_one_that_is_killed_comes_back_and_the_other_answers_meanwhile(
    doubled: Platform, mock: Mock
) -> None:
    mock.behave(tokens=1)
    killed, left = doubled.pids("web")
    with client_of_each(doubled, doubled.key) as clients:
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: doubled.pids("web") == [left], 5)
        eventually(lambda: not listens(killed, doubled.port), 5)  # until then it may be handed some
        assert clients[left].post(CHAT, json=body()).status_code == 200
        for _ in range(5):  # new connections find the one that lives
            assert httpx.get(f"{doubled.url}/livez").status_code == 200
    eventually(partial(_both_listen, doubled), 60)
    assert left in doubled.pids("web")


def _both_listen(platform: Platform) -> bool:
    pids = platform.pids("web")
    return len(pids) == 2 and all(listens(pid, platform.port) for pid in pids)
