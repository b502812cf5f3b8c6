"""No answer without its record, and no record that stays open: whatever is killed or cut.

FOREBAY_TEST_RECORD_KILLS and FOREBAY_TEST_RECORD_CUTS set the counts; `make soak` takes 200 and 50.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from django.conf import settings
from psycopg.rows import dict_row

from tests.e2e.ask import Record, body, client, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.test_faults import kill
from tests.e2e.test_quotas import Budgeted

KILLS = int(os.environ.get("FOREBAY_TEST_RECORD_KILLS", "2"))
CUTS = int(os.environ.get("FOREBAY_TEST_RECORD_CUTS", "2"))
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300 + 20 * KILLS + 10 * CUTS)]
CLIENTS, SLOTS = 32, 16  # some run, some wait in line
DEADLINE_S = 8
BOTH = ["completion:completed", "completion:received"]
PLAIN: dict[str, Any] = {"model": "mock", "prompt": "Say hi.", "max_tokens": 20}
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", body(max_tokens=20)),
    ("/v1/chat/completions", body(max_tokens=20, stream=True)),
    ("/v1/completions", PLAIN),
    ("/v1/completions", {**PLAIN, "stream": True}),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("recorded-engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": SLOTS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOREBAY_REQUEST_DEADLINE_S", str(DEADLINE_S))
        running = Platform(tmp_path_factory.mktemp("recorded"), {"mock": served})
    yield running
    running.stop()


@dataclass
class Heard:
    """What the clients were told: request ids of whole answers, and how the others ended."""

    whole: list[UUID] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def take(self, answer: httpx.Response) -> bool:
        """Whether it was a whole one."""
        text = answer.text
        if not answer.is_success:
            self.others[f"{answer.status_code} {answer.json()['error']['code']}"] += 1
            return False
        streamed = answer.headers["content-type"].startswith("text/event-stream")
        if streamed and ('data: {"error"' in text or not text.endswith("data: [DONE]\n\n")):
            self.others["broken stream"] += 1
            return False
        self.whole.append(UUID(answer.headers["x-request-id"]))
        return True


def rows(platform: Platform, query: str, *values: Any) -> list[dict[str, Any]]:
    url = platform.running()["DATABASE_URL"]
    with psycopg.connect(url, row_factory=dict_row, **settings.SEES_ALL) as database:
        return database.execute(query, values).fetchall()


async def ask(acme: Budgeted, n: int, heard: Heard, over: asyncio.Event) -> None:
    """One client, without pause until it is over."""
    path, sent = WAYS[n % len(WAYS)]
    headers = {"Authorization": f"Bearer {acme.key}"}
    url = acme.platform.url
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as asking:
        while not over.is_set():
            try:
                content = heard.take(await asking.post(path, json=sent))
            except httpx.HTTPError as problem:
                heard.others[type(problem).__name__] += 1
                content = False
            if not content:
                await asyncio.sleep(0.5)


def cut(platform: Platform) -> int:
    """Every connection that the application has to PostgreSQL; says how many there were."""
    query = """select count(pg_terminate_backend(pid)) n from pg_stat_activity
               where usename = current_user and pid <> pg_backend_pid()"""
    return int(rows(platform, query)[0]["n"])


def hurt(platform: Platform, heard: Heard) -> int:
    """Kills and cuts in any order, each part when it works (again); the connections cut."""
    acts = ["cut"] * CUTS + [("web", "worker")[n % 2] for n in range(KILLS)]
    random.shuffle(acts)
    answers: Counter[str] = Counter()  # there had been when the part was hurt
    connections = 0

    def works(part: str) -> bool:  # connections are cut where there are answers
        before = max(answers.values(), default=0) if part == "cut" else answers[part]
        return len(heard.whole) > before

    for act in acts:
        eventually(partial(works, act), 90)
        time.sleep(random.uniform(0.0, 0.5))
        if act == "cut":
            connections += cut(platform)
        else:
            kill(eventually(partial(platform.pids, act), 30))
        time.sleep(0.1)  # what was on its way
        answers[act] = len(heard.whole)
    before = len(heard.whole)
    eventually(lambda: len(heard.whole) > before + CLIENTS, 90)
    return connections


async def under_attack(acme: Budgeted, heard: Heard) -> int:
    over = asyncio.Event()
    crowd = [asyncio.create_task(ask(acme, n, heard, over)) for n in range(CLIENTS)]
    try:
        return await asyncio.to_thread(hurt, acme.platform, heard)
    finally:
        over.set()
        await asyncio.gather(*crowd)


def orphan(acme: Budgeted, engine: Mock) -> UUID:
    """A request that nobody is left to finish until its time is over."""
    platform = acme.platform
    engine.behave(tokens=1000, interval_ms=20)
    sent = body(stream=True, max_tokens=1000)
    with (
        client(platform, acme.key) as asking,
        pytest.raises(httpx.HTTPError),
        asking.stream("POST", "/v1/chat/completions", json=sent) as answer,
    ):
        record = Record(platform, answer.headers["x-request-id"])
        kill(platform.pids("web"))
        kill(platform.pids("worker"))
        answer.read()
    assert record.state() == "open"
    rows(  # instead of a wait
        platform,
        """update inference_completion set deadline = deadline - interval '1 minute'
           where id = %s returning id""",
        record.id,
    )

    def closed() -> bool:
        with contextlib.suppress(ProcessLookupError):
            for pid in platform.pids("worker"):
                os.kill(pid, signal.SIGKILL)
        return record.state() != "open"

    eventually(closed, 30)
    (usage,) = record.usage()
    assert (record.state(), usage["status"], usage["error_code"]) == ("failed", 504, "aborted")
    return record.id


@pytest.mark.slow(seconds=25)
def test_every_answer_has_both_its_records(
    platform: Platform, engine: Mock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # thousands of lines
    engine.behave(tokens=20, interval_ms=25)
    acme = Budgeted(platform, "requests/month=1000000", "tokens/month=1000000000")
    heard = Heard()
    connections = asyncio.run(under_attack(acme, heard))
    eventually(lambda: acme.open() == 0, DEADLINE_S + 60)
    alone = orphan(acme, engine)
    found = on_record(acme)
    print(
        f"\n{KILLS} kills, {CUTS} cuts of {connections} connections; {len(heard.whole)} whole"
        f" answers, others: {dict(heard.others)}; {len(found)} on record:"
        f" {dict(Counter(row['error_code'] or row['state'] for row in found.values()))}"
    )
    assert connections > CUTS
    assert len(set(heard.whole)) == len(heard.whole)
    for request_id in heard.whole:
        row = found[request_id]
        assert (row["state"], row["status"], row["error_code"]) == ("done", 200, ""), row
    assert found[alone]["error_code"] == "aborted"
    assert [row for row in found.values() if not closed_once(row)] == []
    ledger, usage = acme.sums()
    assert ledger == usage
    assert ledger[2] == len(found)
    assert acme.counters() == [(ledger[0], 0), (ledger[1], 0)]
    all_under_seal(platform, at_least=2 * len(found))


def on_record(acme: Budgeted) -> dict[UUID, dict[str, Any]]:
    """By request id, whatever of the tenant's is on record anywhere."""
    found = rows(
        acme.platform,
        """with t as (select id from tenants_tenant where name = %s),
           e as (select request_id, array_agg(action order by action) actions,
                        max(status) told, max(error_code) told_code
                 from audit_event where tenant_id in (table t) and action like 'completion:%%'
                 group by request_id),
           l as (select request_id, array_agg(kind order by kind) entries
                 from tenants_ledgerentry where tenant_id in (table t) group by request_id),
           u as (select * from inference_usage where tenant_id in (table t)),
           c as (select * from inference_completion where tenant_id in (table t))
           select request_id id, actions, told, told_code, entries, c.state, u.status, u.error_code
           from e full join l using (request_id)
           full join c on c.id = request_id full join u on u.completion_id = request_id""",
        acme.name,
    )
    return {row["id"]: row for row in found}


def closed_once(row: dict[str, Any]) -> bool:
    """Both events, one usage row, one settlement, and all of them say the same."""
    return (
        row["actions"] == BOTH
        and row["entries"] in (["reserve", "settle"], ["release", "reserve"])
        and (row["told"], row["told_code"]) == (row["status"], row["error_code"])
        and row["state"] in ("done", "cancelled", "failed")
        and (row["state"] == "done") == (row["status"] == 200)
    )


def all_under_seal(platform: Platform, *, at_least: int) -> None:
    query = "select id from audit_event except select unnest(event_ids) from audit_seal"
    eventually(lambda: not rows(platform, query), 30)
    report = json.loads(platform.manage("audit_verify", "--json"))  # fails unless it ends with 0
    assert report["ok"]
    assert report["figures"]["sealed"] >= at_least
