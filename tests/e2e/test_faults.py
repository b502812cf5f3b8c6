"""Whatever dies: nothing is lost, nothing is billed twice, and the client is told the truth."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest
import redis
from django.conf import settings
from psycopg.conninfo import make_conninfo

from bench.children import Child
from tests.e2e.ask import Record, body, chat, client, events, eventually, stream
from tests.e2e.conftest import Mock, Platform, start_mock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def hurt_platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 16}
    platform = Platform(tmp_path_factory.mktemp("hurt"), {"mock": served})
    yield platform
    platform.stop()


@pytest.fixture
def hurt(hurt_platform: Platform, engine: Mock) -> Platform:
    """In good health when a test begins."""
    engine.behave()
    eventually(lambda: chat(hurt_platform, max_tokens=1).status_code == 200, 60)
    return hurt_platform


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, number)


class Crowd:
    """Clients that ask without pause while something is done to the platform."""

    def __init__(self, platform: Platform, size: int, **fields: object) -> None:
        self.platform, self.fields = platform, fields
        self.answers: list[httpx.Response] = []
        self.broken: list[Exception] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(size)]

    def __enter__(self) -> "Crowd":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _ask(self) -> None:
        with client(self.platform) as asking:
            while not self.over.is_set():
                try:
                    sent = body(**self.fields)
                    self.answers.append(asking.post("/v1/chat/completions", json=sent))
                except httpx.HTTPError as problem:
                    self.broken.append(problem)
                    time.sleep(0.1)


def settled_exactly_once(platform: Platform, seconds: float = 30) -> None:
    """Every request on record has one usage row, and both its audit events."""

    def open_ones() -> bool:
        with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
            query = "select count(*) from inference_completion where state = 'open'"
            return database.execute(query).fetchone() == (0,)

    eventually(open_ones, seconds)
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        odd = database.execute(
            """select c.id from inference_completion c
               left join inference_usage u on u.completion_id = c.id
               left join audit_event e on e.request_id = c.id
               group by c.id having count(distinct u.completion_id) <> 1
                   or count(distinct e.id) <> 2"""
        ).fetchall()
    assert odd == []


def test_a_client_that_goes_away_cancels_its_generation(hurt: Platform, engine: Mock) -> None:
    engine.behave(tokens=500, interval_ms=10)
    with stream(hurt) as answer:
        record = Record(hurt, answer.headers["x-request-id"])
        reading = events(answer.iter_lines())
        for _ in range(20):
            next(reading)
    left_at = time.monotonic()
    eventually(lambda: engine.state()["running"] == 0, 5)
    assert time.monotonic() - left_at < 1
    eventually(lambda: record.state() == "cancelled", 5)
    (usage,) = record.usage()
    assert 19 <= usage["completion_tokens"] <= 120
    assert usage["finish_reason"] == "cancelled"
    with redis.Redis.from_url(hurt.running()["REDIS_URL"]) as queue:
        eventually(lambda: queue.zcard("q:{mock}:leases") == 0, 5)


def test_a_client_that_goes_away_while_it_waits_in_line(hurt: Platform, engine: Mock) -> None:
    engine.behave(tokens=100, interval_ms=20)
    with Crowd(hurt, 16, stream=True) as crowd:
        eventually(lambda: engine.state()["running"] == 16, 5)
        with client(hurt) as asking, pytest.raises(httpx.ReadTimeout):
            asking.post("/v1/chat/completions", json=body(), timeout=0.5)
        crowd.over.set()
    settled_exactly_once(hurt)


def test_an_engine_that_breaks_off_is_never_a_stop(hurt: Platform, engine: Mock) -> None:
    engine.behave(fail="drop_mid_stream", tokens=40)
    with stream(hurt) as answer:
        record = Record(hurt, answer.headers["x-request-id"])
        found = [data for _, data in events(answer.iter_lines())]
    assert found[-1] == "[DONE]"
    assert json.loads(found[-2])["error"]["code"] == "engine_failed"
    assert all(json.loads(d)["choices"][0]["finish_reason"] is None for d in found[:-2])
    (usage,) = record.usage()
    assert (usage["finish_reason"], usage["error_code"]) == ("error", "engine_failed")
    whole = chat(hurt)
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, "engine_failed")


def test_an_engine_that_fails_before_it_starts(hurt: Platform, engine: Mock) -> None:
    engine.behave(fail="http_500")
    answer = chat(hurt, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_failed")


def test_an_engine_that_comes_back_in_time_is_waited_for(hurt: Platform, engine: Mock) -> None:
    engine.child.stop()
    asked: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: asked.append(chat(hurt, max_tokens=3)))
    asking.start()
    time.sleep(1)
    engine.child = Child(engine.child.process.args, engine.child.log)  # type: ignore[arg-type]
    asking.join(30)
    assert asked[0].status_code == 200


def test_a_killed_worker_finishes_whole_answers(hurt: Platform, engine: Mock) -> None:
    engine.behave(delay_ms=1500, tokens=4)
    asked: list[httpx.Response] = []
    asking = [
        threading.Thread(target=lambda: asked.append(chat(hurt, max_tokens=4))) for _ in range(5)
    ]
    for thread in asking:
        thread.start()
    eventually(lambda: engine.state()["running"] == 5, 5)
    kill(hurt.pids("worker"))
    killed_at = time.monotonic()
    for thread in asking:
        thread.join(40)
    assert time.monotonic() - killed_at < 15  # lease, sweep, new worker, 1.5 s of engine
    assert [answer.status_code for answer in asked] == [200] * 5
    for answer in asked:
        (usage,) = Record(hurt, answer.headers["x-request-id"]).usage()
        assert usage["attempts"] == 2
    settled_exactly_once(hurt)


def test_a_killed_worker_in_the_middle_of_a_stream(hurt: Platform, engine: Mock) -> None:
    engine.behave(tokens=300, interval_ms=20)
    with stream(hurt) as answer:
        record = Record(hurt, answer.headers["x-request-id"])
        reading = events(answer.iter_lines())
        got = [next(reading) for _ in range(10)]
        kill(hurt.pids("worker"))
        got += list(reading)
    assert [number for number, _ in got] == list(range(1, len(got) + 1)) or "error" in got[-2][1]
    assert got[-1][1] == "[DONE]"
    assert json.loads(got[-2][1])["error"]["code"] == "worker_lost"
    assert not any('"finish_reason":"' in data for _, data in got)
    eventually(lambda: len(record.usage()) == 1)
    assert record.usage()[0]["error_code"] == "worker_lost"


def test_a_killed_web_process_leaves_no_loose_ends(hurt: Platform, engine: Mock) -> None:
    engine.behave(tokens=50, interval_ms=10)
    with Crowd(hurt, 6, stream=True):
        eventually(lambda: engine.state()["running"] == 6, 5)
        kill(hurt.pids("web"))
    eventually(lambda: chat(hurt, max_tokens=1).status_code == 200, 30)
    settled_exactly_once(hurt)


@pytest.mark.parametrize("how", ["flush", "kill"])
def test_redis_loses_everything_under_load(hurt: Platform, engine: Mock, how: str) -> None:
    engine.behave(tokens=50, interval_ms=10)
    with Crowd(hurt, 24) as crowd:  # more than slots: some run, some wait
        time.sleep(1.5)
        if how == "flush":
            with redis.Redis.from_url(hurt.running()["REDIS_URL"]) as server:
                server.flushall()
        else:
            kill(hurt.pids("valkey"))
        time.sleep(6)
    statuses = {answer.status_code for answer in crowd.answers}
    assert statuses <= {200, 503}
    assert not crowd.broken
    assert all(a.headers.get("retry-after") for a in crowd.answers if a.status_code == 503)
    assert sum(a.status_code == 200 for a in crowd.answers) > 24
    settled_exactly_once(hurt)


def test_postgresql_stops_and_comes_back(hurt: Platform, engine: Mock) -> None:
    postmaster = hurt.pids("postgres")[:1]
    before = engine.state()["requests"]
    for pid in hurt.pids("postgres"):
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(1)  # what the authenticator remembers
        refused = chat(hurt, max_tokens=1)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert engine.state()["requests"] == before
        assert httpx.get(f"{hurt.url}/livez").status_code == 200
        assert httpx.get(f"{hurt.url}/readyz").status_code == 503
    finally:
        for pid in hurt.pids("postgres"):
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: chat(hurt, max_tokens=1).status_code == 200, 20)
    kill(postmaster)
    eventually(lambda: chat(hurt, max_tokens=1).status_code in (200, 503), 30)
    eventually(lambda: chat(hurt, max_tokens=1).status_code == 200, 60)
    settled_exactly_once(hurt)


def test_a_revoked_key_is_refused_within_a_second(hurt: Platform) -> None:
    key = json.loads(hurt.manage("create_api_key", "bench", "--name", "short", "--json"))
    with client(hurt, key["api_key"]) as asking:
        assert asking.get("/v1/models").status_code == 200
        with psycopg.connect(hurt.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
            database.execute(
                "update tenants_apikey set revoked_at = now() where id = %s", (key["id"],)
            )
        time.sleep(1)
        assert asking.get("/v1/models").status_code == 401


_FULL = """
    create function test_disk_is_full() returns trigger language plpgsql as $$
    begin
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end $$;
    create trigger test_disk_is_full before insert on audit_event
        for each row execute function test_disk_is_full()"""
_FREE = "drop function if exists test_disk_is_full cascade"


def test_a_full_disk_lets_nothing_through_without_a_record(hurt: Platform, engine: Mock) -> None:
    """PostgreSQL refuses rows of the trail with the error that it gives for a full disk."""
    engine.behave(tokens=60, interval_ms=25)
    password = (hurt.home / "secrets" / "postgres.password").read_text().strip()
    dsn = make_conninfo(hurt.running()["DATABASE_URL"], user="postgres", password=password)
    with psycopg.connect(dsn, autocommit=True) as database:
        try:
            with stream(hurt) as answer:
                reading = events(answer.iter_lines())
                next(reading)
                database.execute(_FULL)
                asked = engine.state()["requests"]
                refused = chat(hurt, max_tokens=1)
                assert (refused.status_code, engine.state()["requests"]) == (503, asked)
                assert int(refused.headers["retry-after"]) > 0
                said = [next(reading)[1] for _ in range(59)]
                eventually(lambda: engine.state()["running"] == 0)
                began = time.monotonic()
                threading.Timer(3, database.execute, [_FREE]).start()
                said += [data for _, data in reading]
                assert said[-1] == "[DONE]"
                assert time.monotonic() - began > 2  # its end was not told before it was on record
        finally:
            database.execute(_FREE)
    assert chat(hurt, max_tokens=1).status_code == 200
    settled_exactly_once(hurt)
