"""Kept answers in the console and over the management API."""

from typing import Any

import pytest
from django.utils import timezone

from audit.models import Event
from inference.cache import stored_answers
from inference.cache.levels import prefix
from inference.models import Usage
from tenants.models import ApiKey, CacheRule, Member, Tenant
from tests.console.api.conftest import Api, with_key  # noqa: F401
from tests.console.asked import completion
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
PAGE = "/console/t/acme/cache/"


@pytest.fixture
def used(alice: Member, valkey: Any) -> Tenant:
    """Four requests looked for an answer, three of them found one; one answer is kept."""
    tenant = alice.tenant
    for level in ("l1", "l2", "shared", "miss", ""):
        row = completion(tenant, model="small")
        Usage.objects.filter(completion=row).update(cache=level, created_at=timezone.now())
    where = prefix(tenant.id)
    valkey.hset(f"{where}:about", mapping={"bytes": 2_000_000, "ab": f"2000000|{'0' * 32}|small"})
    valkey.zadd(f"{where}:index", {"ab": 1})
    valkey.set(f"{where}:e:ab", b"x")
    return tenant


def test_the_page_tells_how_often_and_how_much(
    used: Tenant, alice: Member, sign_in: SignIn
) -> None:
    page = sign_in(alice).get(PAGE).content.decode()
    assert "75.0 %" in page
    assert "2 MB" in page


def test_a_purge_is_an_act(
    used: Tenant, alice: Member, sign_in: SignIn, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        sign_in(alice).post(f"{PAGE}purge/")
    used.refresh_from_db()
    assert used.cache_epoch == 1
    assert not stored_answers.stored(used.id).entries
    assert Event.objects.filter(action="cache:purge", actor=alice.actor).exists()


def test_rules_are_set_and_removed(alice: Member, sign_in: SignIn) -> None:
    client, tenant = sign_in(alice), alice.tenant
    key, _ = ApiKey.issue(tenant, "ci", by="test")
    client.post(f"{PAGE}rules/", {"model": "", "api_key": key.pk, "on": "off"})
    client.post(f"{PAGE}rules/", {"model": "", "api_key": "", "on": "on"})
    client.post(f"{PAGE}rules/", {"model": "", "api_key": "", "on": "off"})
    rules = CacheRule.objects.order_by("id")
    assert [(rule.api_key, rule.on) for rule in rules] == [(key, False), (None, False)]
    client.post(f"{PAGE}rules/{rules[0].pk}/removal/")
    assert CacheRule.objects.count() == 1
    assert "is-invalid" in client.post(f"{PAGE}rules/", {"on": "x"}).content.decode()


def test_over_the_api(used: Tenant, with_key: Any) -> None:  # noqa: F811
    api: Api = with_key(used, ["management:read", "management:write"])
    (line,) = api.get("tenants/acme/cache/").json()["models"]
    assert (line["requests"], line["l1"], line["shared"], line["bytes"]) == (4, 1, 1, 2_000_000)
    made = api.post("tenants/acme/cache/rules/", model="small", on=True)
    assert made.status_code == 201
    assert api.get(made.headers["Location"]).json()["model"] == "small"
    assert api.delete(made.headers["Location"]).status_code == 204
    unknown = api.post("tenants/acme/cache/rules/", key=str(used.id), on=True)
    assert unknown.status_code == 400
    assert api.post("tenants/acme/cache/purge/").json() == {"purged": True}
