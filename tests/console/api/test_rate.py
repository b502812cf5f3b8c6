"""Calls are limited per address and per key, with a true Retry-After; without Redis stricter."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.test import Client

from console.api import call_rate
from inference.queue.client import client
from tenants.models import Tenant
from tenants.models.refusal import RefusedBy
from tenants.rate_limits.admission import Admission
from tenants.refusals.recorder import RefusedCall
from tests.console.api.conftest import API, PROBLEM, Api, Enter


def asked(api: Api, times: int, address: str = "192.0.2.1") -> list[Any]:
    return [
        api.client.get(f"{API}me/", headers=api._headers, REMOTE_ADDR=address) for _ in range(times)
    ]


def test_an_address_calls_so_often_a_minute(settings: Any, db: None) -> None:
    """Also without a key: guessing one is a call."""
    settings.ADDRESS_PER_MINUTE = 5
    answers = asked(Api(Client()), 7)
    assert [a.status_code for a in answers] == [401] * 5 + [429] * 2
    assert answers[-1].headers["Content-Type"] == PROBLEM
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 12
    assert asked(Api(Client()), 1, "192.0.2.2")[0].status_code == 401


def test_an_address_that_tries_keys_is_refused_before_they_are_looked_up(
    settings: Any, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ADDRESS_PER_MINUTE = 2
    texts = list[str]()
    for kind in ("_key", "_operator_key"):
        monkeypatch.setattr(f"console.api.requester.{kind}", texts.append)
    for prefix, address in (("sk-fb-", "192.0.2.1"), ("sk-fbop-", "192.0.2.2")):
        tries = [asked(Api(Client(), f"{prefix}{n}"), 1, address)[0] for n in range(4)]
        assert [a.status_code for a in tries] == [401, 401, 429, 429]
    assert texts == ["sk-fb-0", "sk-fb-1", "sk-fbop-0", "sk-fbop-1"]


def test_in_ipv6_a_network_is_one_address(settings: Any, db: None) -> None:
    settings.ADDRESS_PER_MINUTE = 2
    answers = [asked(Api(Client()), 1, f"2001:db8::{n}")[0] for n in range(1, 4)]
    assert [a.status_code for a in answers] == [401, 401, 429]


def test_a_key_has_its_own_limit_or_its_tenants(acme: Tenant, with_key: Enter) -> None:
    narrow, wide = with_key(acme, requests_per_minute=3), with_key(acme)
    assert [a.status_code for a in asked(narrow, 5)] == [200] * 3 + [429] * 2
    assert {a.status_code for a in asked(wide, 5)} == {200}
    acme.change(by="test", requests_per_minute=2)
    assert [a.status_code for a in asked(with_key(acme), 3)] == [200, 200, 429]


def test_what_retry_after_says_is_true() -> None:
    name = f"api:test:{uuid4()}"
    waits = (
        call_rate._wait_ms(name, 600) for _ in range(6000)
    )  # some come back while they are taken
    wait_ms = next(wait for wait in waits if wait)
    assert 0 < wait_ms <= 100
    waited = client().eval(  # by Redis's own clock
        "local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000)", 0
    )
    free = float(client().get(name) or 0)
    assert abs((free + 100 - 60_000) - (waited + wait_ms)) < 60


def test_without_redis_each_process_counts_by_itself_and_stricter(
    acme: Tenant, with_key: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_kwargs: Any) -> int:
        raise redis.ConnectionError

    monkeypatch.setattr(call_rate, "_script", lambda: gone)
    program = with_key(acme, requests_per_minute=6)
    answers = asked(program, 5)
    assert [a.status_code for a in answers] == [200] * 3 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


class Noting:
    """Stands where a web process notes its refusals."""

    def __init__(self) -> None:
        self.noted: list[tuple[RefusedCall, Admission]] = []

    def note_from_thread(self, who: RefusedCall, admission: Admission) -> str:
        self.noted.append((who, admission))
        return "ref_0123"


def test_a_refusal_has_an_id_that_explains_it(
    acme: Tenant, with_key: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = Noting()
    context = SimpleNamespace(refusals=noting)
    monkeypatch.setattr("console.api.call_rate.context_if_any", lambda _request: context)
    refused = asked(with_key(acme, requests_per_minute=1), 2)[-1]
    assert refused.json()["refusal_id"] == refused.headers["X-Refusal-Id"] == "ref_0123"
    ((who, admission),) = noting.noted
    assert (who.tenant_id, who.client_net, who.route) == (acme.id, "192.0.2.0", "/api/v1")
    assert who.actor.startswith("key:")
    assert (admission.tier, admission.limit) == (RefusedBy.KEY_RATE, 1)
    assert 0 < admission.frees_in_ms <= 60_000
