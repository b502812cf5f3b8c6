"""People are erased while others ask without pause and the worker that erases is killed again and
again: everything of theirs is gone, each exactly once, and nobody else has noticed.

FOREBAY_ERASURE_SUBJECTS and FOREBAY_ERASURE_KILLS set the counts; `make soak` takes 200 and 50.
"""

import json
import os
import random
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.conf import settings
from psycopg.rows import dict_row

from tests.e2e.ask import HI, body, client, events, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.front_ends.rest import Rest
from tests.e2e.test_faults import Crowd, kill, settled_exactly_once

SUBJECTS = int(os.environ.get("FOREBAY_ERASURE_SUBJECTS", "6"))
KILLS = int(os.environ.get("FOREBAY_ERASURE_KILLS", "2"))
OTHERS = 5
WORD = "a forebay holds the river"
PATIENCE_S = 90 + 6 * SUBJECTS
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300 + 20 * SUBJECTS)]


@dataclass
class Person:
    """A key's holder, and a word that stands in everything they asked."""

    id: str
    key: str
    word: str = field(default_factory=lambda: f"canary{secrets.token_hex(12)}")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("erasure-engine"))
    yield mock
    mock.child.stop()


@pytest.fixture(scope="module")
def platform(engine: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    served = {"kind": "openai", "url": f"http://127.0.0.1:{engine.port}/v1", "slots": 16}
    running = Platform(tmp_path_factory.mktemp("erasure"), {"mock": served})
    yield running
    running.stop()


@pytest.fixture(scope="module")
def manager(platform: Platform) -> Iterator[httpx.Client]:
    scopes = ["--scope", "inference", "--scope", "management:write", "--scope", "management:read"]
    answer = platform.manage("create_api_key", "bench", "--name", "manager", *scopes, "--json")
    url = f"{platform.url}/api/v1/tenants/bench/"
    headers = {"Authorization": f"Bearer {json.loads(answer)['api_key']}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as managing:
        yield managing


@pytest.fixture(scope="module")
def decider(platform: Platform) -> Iterator[httpx.Client]:
    """An operator: whoever they ask for is erased without another word."""
    made = json.loads(platform.manage("create_operator", "op@forebay.example", "--json"))
    welcome = httpx.URL(made["link"]).path
    form = {
        "email": "op@forebay.example",
        "name": "Op",
        **dict.fromkeys(("password", "again"), WORD),
    }
    with httpx.Client(base_url=platform.url, timeout=60, headers={"Referer": platform.url}) as one:
        for path, sent in ((welcome, form), ("/console/", None)):
            one.get(path)
            one.headers["X-CSRFToken"] = one.cookies["csrftoken"]
            if sent:
                answer = one.post(path, data=sent)
                assert answer.status_code == 302, answer.text
        one.base_url = httpx.URL(f"{platform.url}/api/v1/tenants/bench/")
        yield one


def a_person(manager: httpx.Client, name: str) -> Person:
    made = manager.post("keys/", json={"name": name, "scopes": ["inference"]})
    assert made.status_code == 201, made.text
    return Person(made.json()["id"], made.json()["secret"])


def ask(platform: Platform, person: Person, **more: Any) -> None:
    said = [{"role": "user", "content": f"{person.word}: {HI[0]['content']}"}]
    with client(platform, person.key) as asking:
        answer = asking.post("/v1/chat/completions", json=body(messages=said, **more))
    assert answer.status_code == 200, answer.text


def rows(platform: Platform, query: str, *values: Any) -> list[dict[str, Any]]:
    url = platform.running()["DATABASE_URL"]
    with psycopg.connect(url, row_factory=dict_row, **settings.SEES_ALL) as database:
        return database.execute(query, values).fetchall()


def asked_for(decider: httpx.Client, people: list[Person]) -> list[str]:
    found = []
    for person in people:
        sent = {"mode": "erase", "key": person.id}
        answer = decider.post("deletion-requests/", json=sent)
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "approved"
        found.append(answer.json()["id"])
    return found


def done(platform: Platform, requests: list[str]) -> bool:
    query = "select count(*) n from audit_deletionrequest where id = any(%s) and state = 'done'"
    return bool(rows(platform, query, requests)[0]["n"] == len(requests))


@pytest.mark.soak
@pytest.mark.slow(seconds=20)
def test_people_are_erased_while_the_worker_is_killed(
    platform: Platform, engine: Mock, manager: httpx.Client, decider: httpx.Client
) -> None:
    engine.behave(tokens=8, interval_ms=2)
    with ThreadPoolExecutor(8) as asking:
        names = [f"leaves {n}" for n in range(SUBJECTS)] + [f"stays {n}" for n in range(OTHERS)]
        everybody = list(asking.map(partial(a_person, manager), names))
        list(asking.map(partial(ask, platform), everybody))
        list(asking.map(partial(ask, platform, stream=False, max_tokens=4), everybody))
    people, others = everybody[:SUBJECTS], everybody[SUBJECTS:]
    kept = _of(platform, others)
    subjects = [row["subject_id"] for row in _subjects(platform, people)]
    with Crowd(platform.key, 4, Rest(platform)):
        requests = asked_for(decider, people)
        for _ in range(KILLS):
            time.sleep(random.uniform(0.3, 2.5))
            kill(eventually(lambda: platform.pids("jobs"), 30))
        eventually(lambda: done(platform, requests), PATIENCE_S)
    assert _left(platform, subjects) == {}
    assert _of(platform, others) == kept
    _each_exactly_once(platform, requests, subjects)
    settled_exactly_once(platform)
    _written_nowhere(platform, [*people, *others])
    for person in (people[0], others[0]):  # their keys work, as somebody new or as before
        ask(platform, person)
    _tell(platform, requests)


def _subjects(platform: Platform, people: list[Person]) -> list[dict[str, Any]]:
    query = "select subject_id from tenants_apikey where id = any(%s::uuid[])"
    return rows(platform, query, [person.id for person in people])


def _of(platform: Platform, people: list[Person]) -> list[dict[str, Any]]:
    """Their keys and texts as they lie in the database."""
    query = """
        select k.id::text, md5(k.wrapped::text) as wrapped, count(p.id) as texts,
               md5(string_agg(p.ciphertext::text, '' order by p.id)) as ciphertext
        from audit_datakey k join audit_payload p on p.data_key_id = k.id
        where k.subject_id = any(%s) group by k.id order by k.id"""
    found = rows(platform, query, [row["subject_id"] for row in _subjects(platform, people)])
    assert len(found) == len(people)
    assert all(row["texts"] == 4 for row in found)
    return found


def _left(platform: Platform, subjects: list[Any]) -> dict[str, int]:
    queries = {
        "keys": "select count(*) n from audit_datakey where subject_id = any(%s)",
        "texts": """select count(*) n from audit_payload p where request_id in (
                    select request_id from audit_event where subject_id = any(%s))""",
        "pseudonyms": "select count(*) n from tenants_apikey where subject_id = any(%s)",
    }
    found = {kind: rows(platform, query, subjects)[0]["n"] for kind, query in queries.items()}
    return {kind: n for kind, n in found.items() if n}


def _each_exactly_once(platform: Platform, requests: list[str], subjects: list[Any]) -> None:
    acts = rows(
        platform,
        """select action, count(*) n, count(distinct subject_id) people from audit_event
           where subject_id = any(%s) and action in ('deletion:finish', 'subject_key:erase')
           group by action""",
        subjects,
    )
    assert {(row["action"], row["n"], row["people"]) for row in acts} == {
        ("deletion:finish", SUBJECTS, SUBJECTS),
        ("subject_key:erase", SUBJECTS, SUBJECTS),
    }
    steps = rows(
        platform,
        """select store, count(*) n, count(finished_at) done,
                  sum((evidence->>'texts')::int) texts, sum((evidence->>'keys')::int) keys
           from audit_erasurestep where request_id = any(%s) group by store""",
        requests,
    )
    found = {row["store"]: row for row in steps}
    assert all(row["n"] == row["done"] == SUBJECTS for row in steps)
    assert found["texts"]["texts"] == 4 * SUBJECTS
    assert found["subject_keys"]["keys"] == SUBJECTS
    stones = (platform.home / "witness" / "tombstones.jsonl").read_text().splitlines()
    assert len({json.loads(line)["request_id"] for line in stones}) == len(stones) == SUBJECTS


def _written_nowhere(platform: Platform, people: list[Person]) -> None:
    """Database, write-ahead log, Redis' dump, logs, exports: not even while they were there."""
    words = re.compile("|".join(person.word for person in people).encode())
    for path in (*platform.home.rglob("*"), platform.child.log):
        if Path(path).is_file():
            assert not words.search(Path(path).read_bytes()), path


def _tell(platform: Platform, requests: list[str]) -> None:
    query = """
        select percentile_disc(0.99) within group (
            order by extract(epoch from finished_at - requested_at)) as p99
        from audit_deletionrequest where id = any(%s)"""
    p99 = float(rows(platform, query, requests)[0]["p99"])
    print(f"\n{SUBJECTS} erased, {KILLS} kills, p99 {p99:.1f} s")
    assert p99 < 15 * 60


def test_an_open_stream_ends_and_is_erased(
    platform: Platform, engine: Mock, manager: httpx.Client, decider: httpx.Client
) -> None:
    engine.behave(tokens=2000, interval_ms=20)
    person = a_person(manager, "streams")
    (row,) = _subjects(platform, [person])
    said = [{"role": "user", "content": person.word}]
    sent = body(stream=True, messages=said)
    with (
        client(platform, person.key) as asking,
        asking.stream("POST", "/v1/chat/completions", json=sent) as answer,
    ):
        reading = events(answer.iter_lines())
        for _ in range(5):
            next(reading)
        requests = asked_for(decider, [person])
        heard = [data for _, data in reading]
    assert heard[-1] == "[DONE]"
    assert json.loads(heard[-2])["error"]["code"] == "restricted"
    with client(platform, person.key) as asking:
        refused = asking.post("/v1/chat/completions", json=body())
    assert refused.status_code in (200, 403)  # over already, or being erased
    if refused.status_code == 403:
        assert refused.json()["error"]["code"] == "restricted"
    eventually(lambda: done(platform, requests), 60)
    assert _left(platform, [row["subject_id"]]) == {}
    eventually(lambda: engine.state()["running"] == 0, 10)
