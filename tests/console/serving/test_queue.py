"""The queue of a pool, and the acts on what waits: for operators, in the console and by the API."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from redis import RedisError

from audit.models import Event
from console.serving import queue as queue_page
from inference import request_id
from inference.models import Completion, Pool, State, Usage
from inference.order import Item
from inference.queue.client import client as redis
from inference.queue.fair_queue import ENQUEUE, enqueue_arguments, prefix
from tenants.models import Member, Tenant, User
from tests.console.api.conftest import Api
from tests.console.asked import completion
from tests.console.conftest import SignIn
from tests.console.serving.conftest import POOLS, page, sent


@pytest.fixture(autouse=True)
def emptied(pool: Pool) -> Iterator[None]:
    yield
    if keys := list(redis().scan_iter(f"{prefix(pool.name)}:*")):
        redis().delete(*keys)


@pytest.fixture
def api(client: Client) -> Api:
    return Api(client)


def waiting(tenant: Tenant, klass: str = "realtime", n: int = 1) -> list[Completion]:
    """On record, without a text, and in the queue."""
    return [_waiting(tenant, klass) for _ in range(n)]


def _waiting(tenant: Tenant, klass: str) -> Completion:
    row = completion(tenant, state=State.OPEN, pool="here", klass=klass, seconds_ago=1)
    item = Item(1, 100, 1, klass, str(tenant.pk), str(row.pk))
    redis().register_script(ENQUEUE.text)(
        keys=[prefix("here")], args=enqueue_arguments(item, b"x", "tail")
    )
    return row


def url(pool: Pool, act: str = "") -> str:
    return f"{POOLS}{pool.pk}/queue/{act}"


def classes_of(rows: list[Completion]) -> set[str]:
    found = Completion.objects.filter(pk__in=[row.pk for row in rows])
    return set(found.values_list("klass", flat=True))


def test_by_class_and_tenant(client: Client, pool: Pool, acme: Tenant, globex: Tenant) -> None:
    waiting(acme, n=3)
    waiting(globex, "batch", n=2)
    done = completion(acme, pool="here")
    Usage.objects.filter(pk=done.pk).update(pool="here", klass="realtime", queue_ms=1234)
    for path in (url(pool), url(pool, "live/")):
        found = page(client, path)
        for text in ("5 waiting, 0 running", "Tenants in realtime", "acme", "globex", "1.2 s"):
            assert text in found, (path, text)
    assert url(pool) in page(client, POOLS)


def test_the_requests_of_a_tenant(client: Client, pool: Pool, acme: Tenant) -> None:
    rows = waiting(acme, n=2)
    found = page(client, f"{url(pool)}?klass=realtime&tenant=acme")
    assert all(str(row.pk) in found for row in rows)
    assert "None waits any more" in page(client, f"{url(pool)}?klass=batch&tenant=acme")
    assert "acme" in page(client, f"{url(pool, 'live/')}?klass=realtime&tenant=nobody")


def test_a_tenants_requests_go_to_a_lower_class(
    client: Client, pool: Pool, acme: Tenant, operator: User
) -> None:
    rows = waiting(acme, n=2)
    said = sent(client, url(pool, "lowering/"), klass="realtime", tenant="acme", to="batch")
    assert "2 requests go to the class batch." in said
    assert classes_of(rows) == {"batch"}
    event = Event.objects.get(action="queue:lower")
    assert (event.actor, event.tenant_id) == (operator.actor, acme.pk)
    said = sent(client, url(pool, "lowering/"), klass="batch", tenant="acme", to="realtime")
    assert "realtime is not below batch" in said or "Nothing was done" in said
    assert classes_of(rows) == {"batch"}


def test_what_waits_is_cancelled(client: Client, pool: Pool, acme: Tenant) -> None:
    rows = waiting(acme, n=2)
    for row in rows:  # as when its text has been erased: what is on record is enough
        Event.objects.create(
            at=row.created_at,
            action="completion:received",
            actor="key:x",
            tenant_id=acme.pk,
            request_id=row.pk,
        )
    said = sent(client, url(pool, "cancellation/"), klass="realtime", tenant="acme")
    assert "2 requests are cancelled." in said
    assert "0 waiting, 0 running" in said


def test_what_is_over_is_said(client: Client, pool: Pool, acme: Tenant) -> None:
    said = sent(client, url(pool, "cancellation/"), request=str(request_id.new()))
    assert "does not wait any more" in said
    assert client.post(url(pool, "lowering/"), {"to": "batch"}).status_code == 404
    assert client.post(url(pool, "lowering/"), {"request": "x"}).status_code == 404


def test_without_redis_it_says_so(
    client: Client, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_pool: Any) -> None:
        raise RedisError

    monkeypatch.setattr(queue_page, "queue_of", away)
    assert "Redis is unavailable" in page(client, url(pool))


def test_over_the_api(
    api: Api, pool: Pool, acme: Tenant, globex: Tenant, django_capture_on_commit_callbacks: Any
) -> None:
    rows, path = waiting(acme, n=3), f"pools/{pool.pk}/queue/"
    waiting(globex)
    found = api.get(path).json()
    (realtime,) = (each for each in found["classes"] if each["name"] == "realtime")
    assert (found["waiting"], realtime["waiting"], realtime["more_tenants"]) == (4, 4, 0)
    lengths = [(line["tenant"], line["waiting"]) for line in realtime["tenants"]]
    assert lengths == [("acme", 3), ("globex", 1)]
    about = {"tenant": "acme", "work_class": "realtime"}
    with django_capture_on_commit_callbacks(execute=True):
        done = api.post(f"{path}lower/", **about, to="batch")
    assert done.json() == {"requests": 3, "left": 0}
    assert classes_of(rows) == {"batch"}
    assert api.post(f"{path}cancel/", **about).json() == {"requests": 0, "left": 0}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tenant": "acme"},
        {"request": str(request_id.new()), "tenant": "acme"},
        {"tenant": "nobody", "work_class": "realtime"},
        {"tenant": "acme", "work_class": "realtime", "surplus": "x"},
    ],
)
def test_over_the_api_one_thing_is_meant(
    api: Api, pool: Pool, acme: Tenant, body: dict[str, Any]
) -> None:
    assert api.post(f"pools/{pool.pk}/queue/cancel/", **body).status_code == 400


def test_a_class_that_is_not_lower(api: Api, pool: Pool, acme: Tenant) -> None:
    waiting(acme, "batch")
    about = {"tenant": "acme", "work_class": "batch", "to": "realtime"}
    answer = api.post(f"pools/{pool.pk}/queue/lower/", **about)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["to"])


# A tenant's own ---------------------------------------------------------------------------------
def test_a_tenant_sees_its_own_and_why(
    sign_in: SignIn, pool: Pool, alice: Member, globex: Tenant
) -> None:
    waiting(globex, n=3)
    theirs = waiting(globex, "batch")
    (own,) = waiting(alice.tenant, "batch")
    browser = sign_in(alice)
    for path in ("/console/t/acme/queue/", "/console/t/acme/queue/live/"):
        found = page(browser, path)
        assert str(own.pk) in found
        assert "Requests of higher classes begin first." in found
        assert "Tenants take turns" in found
        assert "globex" not in found
        assert str(theirs[0].pk) not in found
    (line,) = Api(browser).get("tenants/acme/queue/").json()["results"]
    assert (line["pool"], line["work_class"], line["waiting"]) == ("here", "batch", 1)
    (request,) = line["requests"]
    assert (request["id"], request["position"], request["own_before"]) == (str(own.pk), 5, 0)
    assert "no_engine" in [cause["reason"] for cause in line["causes"]]


def test_a_tenant_with_nothing_waiting(sign_in: SignIn, alice: Member) -> None:
    assert "Nothing waits" in page(sign_in(alice), "/console/t/acme/queue/")
