"""Whatever dies: nothing is lost, nothing is billed twice, and the client is told the truth."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis
from django.conf import settings
from psycopg.conninfo import make_conninfo

from tenants.rate_limits.admission import concurrency_key
from tests.e2e.ask import Record, body, chat, events, eventually, stream
from tests.e2e.conftest import WITH_LINES, Mock, Platform, start_mock
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.front_ends.base import Answer, Client, FrontEnd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
ABORTS = int(os.environ.get("FOREBAY_TEST_ABORTS", "30"))  # `make soak`: 1,000
TWINS = int(os.environ.get("FOREBAY_TEST_TWINS", "1"))  # pairs of clients; `make soak`: 20


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def hurt_platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 16}
    folder = tmp_path_factory.mktemp("hurt")
    platform = Platform(folder, {"mock": served}, grpc=True, variables=WITH_LINES)
    yield platform
    platform.stop()


@pytest.fixture(params=FRONT_ENDS)
def front(request: pytest.FixtureRequest, hurt_platform: Platform) -> FrontEnd:
    return FRONT_ENDS[request.param](hurt_platform)


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

    def __init__(
        self,
        key: str,
        size: int,
        *fronts: FrontEnd,
        how: str = "chat",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        self.key, self.how, self.headers, self.fields = key, how, headers, fields
        self.answers: list[Answer] = []
        self.broken: list[Exception] = []
        self.over = threading.Event()
        several = itertools.islice(itertools.cycle(fronts), size)
        self.threads = [threading.Thread(target=self._ask, args=[front]) for front in several]

    def __enter__(self) -> "Crowd":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _ask(self, front: FrontEnd) -> None:
        with front.client(self.key, headers=self.headers) as asking:
            while not self.over.is_set():
                try:
                    self.answers += asking.at_once(1, self.how, **self.fields)
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


@pytest.mark.soak("responses")
@pytest.mark.soak("ollama")
def test_a_client_that_goes_away_cancels_its_generation(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(tokens=500, interval_ms=10)
    with front.client(hurt.key) as asking:
        with asking.chat_stream() as stream:
            record = Record(hurt, stream.request_id)
            reading = iter(stream)
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


@pytest.mark.soak("rest")
@pytest.mark.soak("messages")
@pytest.mark.soak("ollama")
@pytest.mark.parametrize("length", [10, 100_000])  # beyond 64 KiB uvicorn stops reading
def test_a_client_that_does_not_wait_for_its_whole_answer_cancels_it(
    hurt: Platform, engine: Mock, front: FrontEnd, length: int
) -> None:
    engine.behave(delay_ms=10_000)
    prompt = [{"role": "user", "content": "x" * length}]
    with front.client(hurt.key, timeout_s=0.5) as asking:
        assert asking.chat(messages=prompt).status == 504
    eventually(lambda: engine.state()["running"] == 0, 3)
    settled_exactly_once(hurt)


@pytest.mark.soak("messages")
@pytest.mark.soak("responses")
@pytest.mark.soak("grpc")
def test_a_client_that_goes_away_while_it_waits_in_line(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(tokens=250, interval_ms=20)
    with Crowd(hurt.key, 16, front, how="chat_stream") as crowd:
        eventually(lambda: engine.state()["running"] == 16, 5)
        with front.client(hurt.key, timeout_s=0.5) as asking:
            assert asking.chat().status == 504
        crowd.over.set()
    settled_exactly_once(hurt)


def in_use(platform: Platform) -> tuple[int, int, int]:
    """Places of tenants and keys, places at the engine, and requests in the queue or running."""
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as limits:
        busy = sum(limits.zcard(name) for name in limits.scan_iter(concurrency_key("*")))
        return busy, limits.zcard("q:{mock}:leases"), limits.hlen("q:{mock}:orders")


async def abort_at_random(platform: Platform, times: int, seen: list[tuple[int, int, int]]) -> None:
    """24 at once, of which 16 run and 8 wait; each is given up after at most 0.3 s."""
    dice, at_once = random.Random(7), asyncio.Semaphore(24)
    headers = {"Authorization": f"Bearer {platform.key}"}
    unlimited = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=platform.url, headers=headers, limits=unlimited
    ) as client:

        async def one(stream: bool, after_s: float) -> None:
            async with at_once:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(after_s):
                        await client.post("/v1/chat/completions", json=body(stream=stream))

        asked = [one(dice.random() < 0.5, dice.uniform(0.01, 0.3)) for _ in range(times)]
        all_of_them = asyncio.gather(*asked)
        while not all_of_them.done():
            seen.append(in_use(platform))
            await asyncio.sleep(0.05)
        await all_of_them


def test_random_aborts_leave_no_place_in_use(hurt: Platform, engine: Mock) -> None:
    engine.behave(tokens=50, interval_ms=5)
    seen: list[tuple[int, int, int]] = []
    asyncio.run(abort_at_random(hurt, ABORTS, seen))
    assert any(min(places) > 0 for places in seen), "they ran"
    eventually(lambda: in_use(hurt) == (0, 0, 0), 10)
    eventually(lambda: engine.state()["running"] == 0, 5)
    settled_exactly_once(hurt)


def test_an_engine_that_breaks_off_is_never_a_stop(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(fail="drop_mid_stream", tokens=40)
    with front.client(hurt.key) as asking:
        with asking.chat_stream() as stream:
            record = Record(hurt, stream.request_id)
            assert not any(event.finish_reason for event in stream)
        assert stream.error
        assert stream.error.code == "engine_failed"
        (usage,) = record.usage()
        assert (usage["finish_reason"], usage["error_code"]) == ("error", "engine_failed")
        whole = asking.chat()
        assert (whole.status, whole.code) == (502, "engine_failed")


def test_an_engine_that_fails_before_it_starts(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(fail="http_500")
    with front.client(hurt.key) as asking, asking.chat_stream() as stream:
        assert not list(stream)
    assert stream.error
    assert (stream.error.status, stream.error.code) == (502, "engine_failed")


def test_an_engine_that_comes_back_in_time_is_waited_for(hurt: Platform, engine: Mock) -> None:
    engine.child.stop()
    asked: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: asked.append(chat(hurt, max_tokens=3)))
    asking.start()
    time.sleep(1)
    engine.start_again()
    asking.join(30)
    assert asked[0].status_code == 200


@pytest.mark.soak("ollama")
@pytest.mark.soak("responses")
@pytest.mark.soak("grpc")
def test_a_killed_worker_finishes_whole_answers(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(delay_ms=1500, tokens=4)
    asked: list[Answer] = []

    def ask() -> None:
        with front.client(hurt.key) as asking:
            asked.append(asking.chat(max_tokens=4))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    eventually(lambda: engine.state()["running"] == 5, 5)
    kill(hurt.pids("worker"))
    killed_at = time.monotonic()
    for thread in threads:
        thread.join(40)
    assert time.monotonic() - killed_at < 30  # restarts in a row wait longer each time
    assert [answer.status for answer in asked] == [200] * 5
    for answer in asked:
        (usage,) = Record(hurt, answer.request_id).usage()
        assert usage["attempts"] == 2
    settled_exactly_once(hurt)


@pytest.mark.soak("messages")
@pytest.mark.soak("rest")
@pytest.mark.soak("grpc")
def test_a_killed_worker_in_the_middle_of_a_stream(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(tokens=300, interval_ms=20)
    with front.client(hurt.key) as asking, asking.chat_stream() as stream:
        record = Record(hurt, stream.request_id)
        reading = iter(stream)
        got = [next(reading) for _ in range(10)]
        kill(hurt.pids("worker"))
        got += list(reading)
    numbers = [event.number for event in got]
    assert numbers == sorted(set(numbers))
    assert stream.error
    assert stream.error.code == "worker_lost"
    assert not any(event.finish_reason for event in got)
    eventually(lambda: len(record.usage()) == 1)
    assert record.usage()[0]["error_code"] == "worker_lost"


def test_a_killed_worker_makes_all_answers_of_a_request_again(hurt: Platform, engine: Mock) -> None:
    engine.behave(delay_ms=1500, tokens=4)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(chat(hurt, n=3, max_tokens=4)))
    asking.start()
    eventually(lambda: engine.state()["running"] > 0, 5)
    kill(hurt.pids("worker"))
    asking.join(40)
    (answer,) = answers
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1, 2]
    (usage,) = Record(hurt, answer.headers["x-request-id"]).usage()
    assert (usage["attempts"], usage["completion_tokens"]) == (2, 12)
    settled_exactly_once(hurt)


def test_a_killed_worker_ends_a_stream_of_several_answers_with_an_error(
    hurt: Platform, engine: Mock
) -> None:
    engine.behave(tokens=300, interval_ms=20)
    with stream(hurt, n=3) as answer:
        record = Record(hurt, answer.headers["x-request-id"])
        reading = events(answer.iter_lines())
        heard = [next(reading) for _ in range(20)]
        kill(hurt.pids("worker"))
        heard += list(reading)
    numbers = [number for number, data in heard if data != "[DONE]"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert json.loads(heard[-2][1])["error"]["code"] == "worker_lost"
    eventually(lambda: len(record.usage()) == 1)
    (usage,) = record.usage()
    words = sum('"content":" t' in data for _, data in heard)
    assert words <= usage["completion_tokens"] <= 3 * 300
    settled_exactly_once(hurt)


@pytest.mark.soak("messages")
@pytest.mark.soak("ollama")
@pytest.mark.soak("grpc")
def test_a_killed_front_end_leaves_no_loose_ends(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(tokens=50, interval_ms=10)
    with Crowd(hurt.key, 6, front, how="chat_stream"):
        eventually(lambda: engine.state()["running"] == 6, 5)
        kill(hurt.pids(front.role))
    with front.client(hurt.key) as asking:
        eventually(lambda: asking.chat(max_tokens=1).status == 200, 30)
    settled_exactly_once(hurt)


@pytest.mark.soak("messages")
@pytest.mark.soak("ollama")
@pytest.mark.soak("responses")
@pytest.mark.soak("grpc")
def test_an_idempotency_key_outlives_front_end_worker_and_redis(
    hurt: Platform, engine: Mock, front: FrontEnd
) -> None:
    engine.behave(tokens=40, interval_ms=25)
    before = engine.state()["requests"]
    with (
        front.client(
            hurt.key, headers={"idempotency-key": f"outlives {type(front).__name__}"}
        ) as asking,
        asking.chat_stream() as stream,
    ):
        began = next(iter(stream)).number
        kill(hurt.pids(front.role))
    assert began

    def again() -> Answer | None:
        with (
            front.client(
                hurt.key, headers={"idempotency-key": f"outlives {type(front).__name__}"}
            ) as asking,
            asking.chat_stream() as stream,
        ):
            heard = list(stream)
        text = "".join(event.text for event in heard)
        done = not stream.error and heard and heard[-1].finish_reason
        return Answer(200, stream.request_id, text) if done else None

    first = eventually(again, 30)
    kill(hurt.pids("worker"))
    with redis.Redis.from_url(hurt.running()["REDIS_URL"]) as server:
        server.flushall()
    assert eventually(again, 30) == first
    assert len(first.text.split()) == 40
    assert engine.state()["requests"] == before + 1
    assert len(Record(hurt, first.request_id).usage()) == 1


@pytest.mark.soak("kill")
@pytest.mark.parametrize("how", ["flush", "kill"])
def test_redis_loses_everything_under_load(hurt: Platform, engine: Mock, how: str) -> None:
    engine.behave(tokens=50, interval_ms=10)
    fronts = [kind(hurt) for kind in FRONT_ENDS.values()]
    with Crowd(hurt.key, 24, *fronts) as crowd:  # more than slots: some run, some wait
        time.sleep(1.5)
        if how == "flush":
            with redis.Redis.from_url(hurt.running()["REDIS_URL"]) as server:
                server.flushall()
        else:
            kill(hurt.pids("valkey"))
        time.sleep(6)
    statuses = {answer.status for answer in crowd.answers}
    assert statuses <= {200, 503}
    assert not crowd.broken
    assert all(answer.retry_after_s for answer in crowd.answers if answer.status == 503)
    assert sum(answer.status == 200 for answer in crowd.answers) > 24
    settled_exactly_once(hurt)


def test_postgresql_stops_and_comes_back(hurt: Platform, engine: Mock) -> None:
    postmaster = hurt.pids("postgres")[:1]
    before = engine.state()["requests"]
    for pid in hurt.pids("postgres"):
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(1)  # what the authenticator remembers
        for kind in FRONT_ENDS.values():
            with kind(hurt).client(hurt.key) as asking:
                refused = asking.chat(max_tokens=1)
            assert refused.status == 503
            assert refused.retry_after_s > 0
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


@pytest.mark.soak("responses")
@pytest.mark.soak("ollama")
def test_a_revoked_key_is_refused_within_a_second(hurt: Platform, front: FrontEnd) -> None:
    key = json.loads(hurt.manage("create_api_key", "bench", "--name", "short", "--json"))
    with front.client(key["api_key"]) as asking:
        assert asking.models().status == 200
        with psycopg.connect(hurt.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
            database.execute(
                "update tenants_apikey set revoked_at = now() where id = %s", (key["id"],)
            )
        time.sleep(1)
        assert asking.models().status == 401


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


# Kept answers ------------------------------------------------------------------------------------
@pytest.mark.soak
@pytest.mark.slow(seconds=15)
def test_a_kept_answer_is_whole_or_was_never_there(hurt: Platform, engine: Mock) -> None:
    """Its process is killed again and again: no request stays open that an engine would have to
    answer, whose answer was there.
    """
    engine.behave(tokens=3)
    ran, use = engine.state()["requests"], {"x-forebay-cache": "use"}
    with Crowd(hurt.key, 4, FRONT_ENDS["rest"](hurt), headers=use, temperature=0) as crowd:
        _answers_come(crowd)
        for _ in range(2):
            kill(hurt.pids("web"))
            _answers_come(crowd)
    settled_exactly_once(hurt, 60)
    assert engine.state()["requests"] == ran + 1


def _answers_come(crowd: Crowd) -> None:
    before = len(crowd.answers)
    eventually(lambda: len(crowd.answers) > before + 20, 60)


class Twin(threading.Thread):
    """A client that asks with its idempotency key until it has the whole answer."""

    def __init__(self, front: FrontEnd, key: str, idempotency_key: str, how: str) -> None:
        super().__init__()
        self._front, self._key, self._how = front, key, how
        self._headers = {"idempotency-key": idempotency_key}
        self.answer = Answer(0)

    def run(self) -> None:
        ends = time.monotonic() + 90
        while self.answer.status != 200 and time.monotonic() < ends:
            with (
                contextlib.suppress(httpx.HTTPError),
                self._front.client(self._key, headers=self._headers, timeout_s=30) as asking,
            ):
                self.answer = asking.chat() if self._how == "chat" else self._streamed(asking)
            time.sleep(0.05)

    @staticmethod
    def _streamed(asking: Client) -> Answer:
        with asking.chat_stream() as stream:
            events = list(stream)
        if stream.error or not (events and events[-1].finish_reason):
            return stream.error or Answer(0)
        text = "".join(event.text for event in events)
        return Answer(200, request_id=stream.request_id, text=text)


def has_begun(engine: Mock, before: int) -> bool:
    asked: int = engine.state()["requests"]
    return asked > before


@pytest.mark.soak("chat_stream")
@pytest.mark.soak("messages")
@pytest.mark.soak("ollama")
@pytest.mark.soak("rest")
@pytest.mark.soak("grpc")
@pytest.mark.timeout(120 + 20 * TWINS)  # for each, a worker and a web process start anew
@pytest.mark.parametrize(("how", "kills_worker"), [("chat", True), ("chat_stream", False)])
def test_two_clients_with_one_idempotency_key_have_one_answer_whoever_dies(
    hurt: Platform, engine: Mock, front: FrontEnd, how: str, kills_worker: bool
) -> None:
    """The process that they ask is killed while they wait, and for a whole answer the worker."""
    engine.behave(tokens=30, interval_ms=30)
    for number in range(TWINS):
        dice, idempotency_key = random.Random(number), uuid4().hex
        ran = engine.state()["requests"]
        twins = [Twin(front, hurt.key, idempotency_key, how) for _ in range(2)]
        for twin in twins:
            twin.start()
        eventually(partial(has_begun, engine, ran))
        for victim in [front.role, "worker"] if kills_worker else [front.role]:
            time.sleep(dice.uniform(0, 0.3))
            kill(hurt.pids(victim))
        for twin in twins:
            twin.join(100)
        first, second = (twin.answer for twin in twins)
        assert (first.status, second.status) == (200, 200), (first, second)
        assert (first.request_id, first.text) == (second.request_id, second.text)
        assert len(first.text.split()) == 30
        record = Record(hurt, first.request_id)
        assert record.actions() == ["completion:received", "completion:completed"]
        assert len(record.usage()) == 1
        assert kills_worker or engine.state()["requests"] == ran + 1
        eventually(lambda: chat(hurt, max_tokens=1).status_code == 200, 60)
    settled_exactly_once(hurt)
