"""What hands out power or money is done only by somebody who has just shown who they are."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.isolation.expected import PAGES
from inference.models import Engine, Model, Pool
from tenants.models import ApiKey, Link, Member, OperatorKey, Price, Quota, QuotaRaise, Tenant, User
from tests.console.conftest import SignIn, prove

pytestmark = pytest.mark.django_db
T = "/console/t/acme/"
STALE_S = 601


@pytest.fixture
def targets(alice: Member, bob: Member) -> dict[str, Any]:
    key, _text = ApiKey.issue(alice.tenant, "ci", by="test")
    quota = Quota.set(alice.tenant, unit="requests", window="day", limit=5, by="test")
    ends = timezone.now() + timedelta(days=1)
    asked = QuotaRaise.ask(quota, 5, "a launch", ends, user=bob.user, by="test")
    return {"key": key.pk, "member": bob.pk, "quota_raise": asked.pk}


IN_A_TENANT = [
    ("keys/", {"name": "new", "days": "90", "scopes": ["inference"]}),
    ("keys/{key}/", {"name": "renamed", "scopes": ["inference"]}),
    ("keys/{key}/rotation/", {"hours": "24"}),
    ("members/invitation/", {"email": "new@acme.example", "role": "owner", "days": "7"}),
    ("members/{member}/role/", {"role": "owner"}),
    ("members/{member}/reset-link/", {}),
    ("members/{member}/removal/", {}),
    ("raises/{quota_raise}/approval/", {}),
    ("settings/", {"profile": "mlps-l3", "time_zone": "UTC"}),
]
FOR_OPERATORS = [
    ("/console/models/", {"name": "new"}),
    ("/console/pools/addition/", {"name": "new", "model": "large"}),
    (
        "/console/pools/engines/addition/",
        {"pool": "here", "name": "new", "kind": "vllm", "url": "http://gpu-1/v1", "slots": "4"},
    ),
    ("/console/tenants/", {"name": "new", "tier": "vip", "profile": "asvs-5"}),
    ("/console/tiers/", {"tier": "vip", "weight": "50"}),
    ("/console/operator-keys/", {"name": "ci", "days": "90", "scopes": ["engines:read"]}),
    ("/console/prices/", {"model": "mock", "prompt": "1", "cached": "1", "completion": "1"}),
    (f"{T}settings/suspension/", {"reason": "unpaid"}),
    (f"{T}settings/closure/", {"reason": "over", "name": "acme"}),
]


def as_it_stands() -> list[Any]:
    models: tuple[Any, ...] = (ApiKey, Link, Member, Price, Quota, QuotaRaise, Tenant)
    models += (Model, Pool, Engine, OperatorKey)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.mark.parametrize(("path", "form"), IN_A_TENANT)
def test_in_a_tenant(
    alice: Member, targets: dict[str, Any], sign_in: SignIn, path: str, form: dict[str, Any]
) -> None:
    _asks_first(sign_in, alice.user, T + path.format(**targets), form)


@pytest.mark.parametrize(("path", "form"), FOR_OPERATORS)
def test_for_operators(
    acme: Tenant, operator: User, sign_in: SignIn, path: str, form: dict[str, Any]
) -> None:
    Pool.add(Model.add("large", by="test"), "here", by="test")
    _asks_first(sign_in, operator, path, form)


def test_the_end_of_a_price(acme: Tenant, operator: User, sign_in: SignIn) -> None:
    own = Price.set("large", 1, 1, 1, pool="here", by="test")
    _asks_first(sign_in, operator, f"/console/prices/{own.pk}/ending/", {})


def _asks_first(sign_in: SignIn, person: User, path: str, form: dict[str, Any]) -> None:
    client, before = sign_in(person), as_it_stands()
    prove(client, person, seconds_ago=STALE_S)
    answer = client.post(path, form)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/proof/")
    assert as_it_stands() == before


def test_the_pages_are_those_of_the_table() -> None:
    """A path that is renamed must not drop out of this test unseen."""
    known = {page.path for page in PAGES if page.acts}
    names = {"key": "uuid:key", "member": "uuid:member", "quota_raise": "uuid:quota_raise"}
    inside = "console/t/<slug:tenant>/"
    for path, _form in IN_A_TENANT:
        assert inside + path.format(**{k: f"<{v}>" for k, v in names.items()}) in known
    for path, _form in FOR_OPERATORS:
        assert path.replace(T, f"/{inside}").removeprefix("/") in known
