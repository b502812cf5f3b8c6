"""Budgets on the running platform: never overspent and never leaking, whatever dies."""

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bench.servers.forebay import UNLIMITED
from tenants.quotas.ledger_answer import IN_PROGRESS_TTL_S
from tests.e2e.ask import HI, body, client, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.front_ends.base import FrontEnd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
KILLS = int(os.environ.get("FOREBAY_TEST_KILLS", "4"))  # 50 take four minutes
CALLS = int(os.environ.get("FOREBAY_TEST_CALLS", "90"))  # 1,000 take three minutes
PLAIN = {"model": "mock", "prompt": "Say hi.", "max_tokens": 5}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", body(max_tokens=5)),
    "completions": ("/v1/completions", PLAIN),
    "completions stream": ("/v1/completions", {**PLAIN, "stream": True}),
    "inference": ("/v1/inference", {"prompt": "Say hi.", "max_tokens": 5}),
}
EVERYWHERE = ("chat", "chat_stream", "plain")  # at every front end


_open = ExitStack()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    with _open:
        yield


class Budgeted:
    """A new tenant with quotas, its new key, and a look at its ledger."""

    def __init__(self, platform: Platform, *quotas: str, of_key: tuple[str, ...] = ()) -> None:
        self.platform, self.name = platform, f"t{uuid4().hex[:8]}"
        options = [word for quota in quotas for word in ("--quota", quota)]
        platform.manage("create_tenant", self.name, *UNLIMITED, *options, "--json")
        options = [word for quota in of_key for word in ("--quota", quota)]
        made = platform.manage("create_api_key", self.name, "--name", "k", *options, "--json")
        self.key = str(json.loads(made)["api_key"])

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._database.execute(query, {"name": self.name}).fetchall()

    @cached_property
    def _database(self) -> psycopg.Connection:
        """One for all looks: PostgreSQL is not what these tests kill."""
        options, dsn = "-c forebay.system=on", self.platform.running()["DATABASE_URL"]
        return _open.enter_context(psycopg.connect(dsn, options=options, autocommit=True))

    def remaining(self) -> dict[str, int]:
        """By unit, from the ledger's entries and not from the counters."""
        rows = self._ask(
            """select q.unit, min(q."limit" - s.used - s.reserved) from tenants_quota q
               join tenants_tenant t on t.id = q.tenant_id
               join tenants_quotacounter c on c.quota_id = q.id,
               tenants_ledger_sum(q.id, c.starts, c.ends) s
               where t.name = %(name)s group by q.unit"""
        )
        return dict(rows)

    def counters(self) -> list[tuple[int, int]]:
        """(used, reserved)"""
        return self._ask(
            """select c.used, c.reserved from tenants_quotacounter c
               join tenants_tenant t on t.id = c.tenant_id where t.name = %(name)s order by 1"""
        )

    def open(self) -> int:
        rows = self._ask(
            """select count(*) from inference_completion c join tenants_tenant t
               on t.id = c.tenant_id where t.name = %(name)s and c.state = 'open'"""
        )
        return int(rows[0][0])

    def sums(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Requests and tokens of the ledger, and of the usage rows."""
        (ledger,) = self._ask(
            """select coalesce(sum(requests), 0), coalesce(sum(tokens), 0), count(*)
               from tenants_ledgerentry l join tenants_tenant t on t.id = l.tenant_id
               where t.name = %(name)s and kind <> 'reserve'"""
        )
        (usage,) = self._ask(
            """select count(*) filter (where status = 200 or prompt_tokens + completion_tokens > 0),
                      coalesce(sum(prompt_tokens + completion_tokens), 0), count(*)
               from inference_usage u join tenants_tenant t on t.id = u.tenant_id
               where t.name = %(name)s"""
        )
        return ledger, usage


async def at_once(platform: Platform, key: str, path: str, sent: Any, n: int) -> list[Any]:
    limits = httpx.Limits(max_connections=n)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=platform.url, headers=headers, timeout=60, limits=limits
    ) as asking:
        return await asyncio.gather(*[asking.post(path, json=sent) for _ in range(n)])


@pytest.mark.soak("rest-chat")
@pytest.mark.parametrize("how", EVERYWHERE)
def test_200_at_once_on_a_budget_for_exactly_10(
    staged: Platform, mock: Mock, front: FrontEnd, how: str
) -> None:
    acme = Budgeted(staged, of_key=("requests/day=10",))  # its very first requests
    with front.client(acme.key) as asking:
        answers = asking.at_once(200, how, max_tokens=5)
    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 190
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.code == "insufficient_quota"
    assert refused.figures["x-should-retry"] == "false"
    assert refused.figures["x-refusal-id"] == refused.refusal_id
    eventually(lambda: acme.counters() == [(10, 0)], 5)
    ledger, usage = acme.sums()
    assert ledger == usage == (10, ledger[1], 10)


@pytest.mark.soak("stream")
@pytest.mark.parametrize("way", ["completions", "completions stream"])
def test_200_at_once_over_openais_older_endpoint(staged: Platform, mock: Mock, way: str) -> None:
    path, sent = WAYS[way]
    acme = Budgeted(staged, of_key=("requests/day=10",))
    answers = asyncio.run(at_once(staged, acme.key, path, sent, 200))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 190
    eventually(lambda: acme.counters() == [(10, 0)], 5)


def test_all_ways_share_one_budget(staged: Platform, mock: Mock) -> None:
    acme = Budgeted(staged, "requests/day=20")
    with ExitStack() as stack:
        rest = stack.enter_context(client(staged, acme.key))
        fronts = [kind(staged) for kind in FRONT_ENDS.values()]
        clients = [stack.enter_context(front.client(acme.key)) for front in fronts]
        answers = list[int]()
        for _ in range(4):
            answers += [rest.post(path, json=sent).status_code for path, sent in WAYS.values()]
            for how in EVERYWHERE:
                told = [asking.at_once(1, how, max_tokens=5) for asking in clients]
                answers += [answer.status for (answer,) in told]
    assert answers == [200] * 20 + [429] * (len(answers) - 20)


@pytest.mark.parametrize("how", ["chat", "plain"])
def test_a_whole_answer_tells_what_remains(
    staged: Platform, mock: Mock, front: FrontEnd, how: str
) -> None:
    mock.behave(tokens=3)
    acme = Budgeted(staged, "requests/month=50", "tokens/day=9000", "cost/day=1000000")
    with front.client(acme.key) as asking:
        for _ in range(3):
            figures = getattr(asking, how)(max_tokens=100).figures
            units = ("requests", "tokens", "cost")
            told = {unit: int(figures[f"x-quota-remaining-{unit}"]) for unit in units}
            assert told == acme.remaining()


@pytest.mark.timeout(900)
def test_what_remains_is_the_ledgers_after_each_call(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=3, interval_ms=0.0)
    acme = Budgeted(staged, "requests/month=5000", "tokens/day=900000", "cost/day=10000000")
    with client(staged, acme.key) as asking:
        for n in range(CALLS):
            path, sent = WAYS[["chat", "completions", "inference"][n % 3]]
            answer = asking.post(path, json=sent)
            assert answer.status_code == 200
            told = {
                unit: int(answer.headers[f"x-quota-remaining-{unit}"])
                for unit in ("requests", "tokens", "cost")
            }
            assert told == acme.remaining(), f"after call {n + 1}"
    assert told["requests"] == 5000 - CALLS
    assert told["tokens"] == 900000 - CALLS * (20 + 3)


def test_a_streams_figures_tell_what_is_left_while_it_runs(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=50, interval_ms=20)
    acme = Budgeted(staged, "tokens/day=10000")
    with front.client(acme.key) as asking, asking.chat_stream(max_tokens=100) as stream:
        told = int(stream.figures["x-quota-remaining-tokens"])
        assert told == acme.remaining()["tokens"] < 9900
        assert list(stream)
    assert acme.remaining()["tokens"] == 10000 - 20 - 50


def test_a_client_that_goes_away_pays_for_what_was_generated(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=500, interval_ms=10)
    acme = Budgeted(staged, "tokens/day=10000", "requests/day=100")
    with front.client(acme.key) as asking, asking.chat_stream() as stream:
        for _ in itertools.islice(stream, 20):
            pass
    eventually(lambda: acme.open() == 0, 10)
    ledger, usage = acme.sums()
    assert ledger == usage
    assert ledger[0] == 1
    assert 5 < ledger[1] < 500
    assert acme.remaining() == {"tokens": 10000 - ledger[1], "requests": 99}


def test_an_answer_without_a_limit_is_bounded_under_a_budget(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=1)
    acme = Budgeted(staged, "tokens/day=100000")
    with front.client(acme.key) as asking:
        assert asking.chat().status == 200
    assert mock.last_body()["max_tokens"] == 2048  # half of the model's context
    other = Budgeted(staged, "requests/day=100000")
    with front.client(other.key) as asking:
        asking.chat()
    assert "max_tokens" not in mock.last_body()


def test_the_balance_in_deepseeks_shape(staged: Platform, mock: Mock) -> None:
    acme = Budgeted(staged, "cost/month=110000000", of_key=("cost/day=2509999",))
    none, empty = Budgeted(staged, "requests/day=5"), Budgeted(staged, "cost/day=0")
    with client(staged, acme.key) as asking:
        for path in ("/user/balance", "/v1/user/balance"):
            assert asking.get(path).json() == {
                "is_available": True,
                "balance_infos": [
                    {
                        "currency": "CNY",
                        "total_balance": "2.50",
                        "granted_balance": "0.00",
                        "topped_up_balance": "2.50",
                    }
                ],
            }
        assert asking.post("/user/balance").status_code == 405
        assert asking.get("/user/balance", headers={"Authorization": "no"}).status_code == 401
    with client(staged, none.key) as asking:
        assert asking.get("/user/balance").json() == {"is_available": True, "balance_infos": []}
    with client(staged, empty.key) as asking:
        assert asking.get("/user/balance").json()["is_available"] is False


def test_with_a_quota_of_tokens_nothing_is_overspent(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=40, interval_ms=1)
    acme = Budgeted(staged, "tokens/day=3000")
    sent = {"messages": HI, "model": "mock", "max_tokens": 40}
    for _ in range(20):
        answers = asyncio.run(at_once(staged, acme.key, "/v1/chat/completions", sent, 40))
        eventually(lambda: acme.open() == 0, 10)
        if {answer.status_code for answer in answers} == {429}:
            break
        time.sleep(IN_PROGRESS_TTL_S)  # what the round could not have is free to ask for again
    ledger, usage = acme.sums()
    assert ledger == usage
    assert 2700 < ledger[1] <= 3000
    assert acme.counters() == [(ledger[1], 0)]


# kill -9 ------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Mock]]:
    mock = start_mock(tmp_path_factory.mktemp("fragile-engine"))
    served = {"kind": "openai", "url": f"http://127.0.0.1:{mock.port}/v1", "slots": 16}
    os.environ["FOREBAY_REQUEST_DEADLINE_S"] = "20"
    try:
        platform = Platform(tmp_path_factory.mktemp("fragile"), {"mock": served}, grpc=True)
    finally:
        del os.environ["FOREBAY_REQUEST_DEADLINE_S"]
    yield platform, mock
    platform.stop()
    mock.child.stop()


@pytest.mark.soak
@pytest.mark.slow(seconds=20)
def test_killed_between_reserve_and_settle_nothing_leaks_and_nothing_is_free(
    fragile: tuple[Platform, Mock],
) -> None:
    platform, mock = fragile
    mock.behave(tokens=20, interval_ms=20)
    budgets = "requests/month=100000", "tokens/month=100000000", "requests/session=100000"
    acme = Budgeted(platform, *budgets)
    over = threading.Event()

    def ask(front: FrontEnd, how: str, session: str) -> None:
        headers = {"x-session-id": session}
        while not over.is_set():
            try:
                with front.client(acme.key, headers=headers) as asking:
                    (answer,) = asking.at_once(1, how, max_tokens=20)
            except httpx.HTTPError:
                answer = None
            if answer is None or answer.status != 200:
                time.sleep(0.05)

    fronts = [kind(platform) for kind in FRONT_ENDS.values()]
    ways = itertools.product(fronts, ("chat", "chat_stream"), ("one", "other"))
    crowd = [threading.Thread(target=ask, args=way) for way in ways]
    for thread in crowd:
        thread.start()
    for n in range(KILLS):
        eventually(lambda: mock.state()["running"] > 0, 60)
        part = ("worker", *(front.role for front in fronts))[n % (1 + len(fronts))]
        for pid in platform.pids(part):
            os.kill(pid, signal.SIGKILL)
        eventually(partial(platform.pids, part), 30)
    time.sleep(1)
    over.set()
    for thread in crowd:
        thread.join(60)
    eventually(lambda: acme.open() == 0, 90)
    ledger, usage = acme.sums()
    assert ledger == usage
    assert ledger[2] > KILLS
    requests, tokens = ledger[0], ledger[1]
    counters = acme.counters()
    assert {reserved for _used, reserved in counters} == {0}
    of_sessions = [used for used, _reserved in counters if used not in (requests, tokens)]
    assert (len(counters), sum(of_sessions)) == (4, requests)
