"""How a caller is known: keys and sessions, and what makes either useless."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from audit.models import Event
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.console.api.conftest import API, PROBLEM, Api, Enter, issued
from tests.console.conftest import prove


def test_a_key_knows_itself(acme: Tenant, with_key: Enter) -> None:
    said = with_key(acme, ["management:read"]).get("me/").json()
    key = ApiKey.objects.get()
    assert said["actor"] == f"key:{key.pk}"
    (place,) = said["tenants"]
    assert place["tenant"] == "acme"
    assert "api_keys:view" in place["permissions"]
    assert "api_keys:manage" not in place["permissions"]


def test_a_person_knows_their_tenants(bob: Member, globex: Tenant, enter: Enter) -> None:
    globex.add_member(bob.user, Role.MEMBER, by="test")
    said = enter(bob).get("me/").json()
    assert [(p["tenant"], p["role"]) for p in said["tenants"]] == [
        ("acme", "developer"),
        ("globex", "member"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer sk-fb-abc",
        "Basic YWxpY2U6cGFzcw==",
        "Bearer \u00e9",
        "{text}",
        "Bearer {text}x",
        "Bearer {swapped}",
    ],
)
def test_what_is_no_key_opens_nothing(alice: Member, sign_in: Any, header: str) -> None:
    """Also where a session would: a header that is there decides."""
    _key, text = issued(alice.tenant)
    given = header.format(text=text, swapped=text.swapcase())
    answer = sign_in(alice).get(f"{API}me/", headers={"Authorization": given})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == PROBLEM
    assert text not in answer.content.decode()


def test_expired_and_revoked_keys_open_nothing(acme: Tenant, with_key: Enter) -> None:
    program = with_key(acme)
    assert program.get("me/").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert program.get("me/").status_code == 401
    ApiKey.objects.update(expires_at=None, revoked_at=timezone.now())
    assert program.get("me/").status_code == 401


@pytest.mark.parametrize(
    ("network", "status"),
    [("127.0.0.0/8", 200), ("::ffff:127.0.0.1/128", 200), ("192.0.2.0/24", 403), ("::1", 403)],
)
def test_a_key_is_taken_from_its_addresses_only(
    acme: Tenant, with_key: Enter, network: str, status: int
) -> None:
    program = with_key(acme, allowed_networks=[network])
    answer = program.client.get(
        f"{API}me/",
        headers={**program._headers, "X-Forwarded-For": "192.0.2.1"},
    )
    assert answer.status_code == status
    denied = Event.objects.filter(action="access:denied", tenant_id=acme.id, success=False)
    assert denied.exists() == (status == 403)


def test_a_suspended_tenant_is_closed_but_to_operators(
    alice: Member, operator: User, enter: Enter, with_key: Enter
) -> None:
    tenant = alice.tenant
    program, person, above = with_key(tenant), enter(alice), enter(operator)
    tenant.suspend(by="test", reason="unpaid")
    for api in (program, person):
        answer = api.get("tenants/acme/")
        assert (answer.status_code, answer.json()["type"]) == (
            403,
            "urn:forebay:problem:tenant_suspended",
        )
    assert above.get("tenants/acme/").json()["state"] == "suspended"


def test_a_session_needs_its_csrf_token(alice: Member) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    prove(client, alice.user)
    body: Any = {"name": "search"}
    path, kind = f"{API}tenants/acme/teams/", "application/json"
    assert client.post(path, body, kind).status_code == 403
    assert client.get(f"{API}me/").status_code == 200
    client.cookies["csrftoken"] = "x" * 32
    answer = client.post(path, body, kind, headers={"X-CSRFToken": "x" * 32})
    assert answer.status_code == 201


def test_a_session_that_has_not_proved_itself_lately_only_reads(alice: Member) -> None:
    client = Client()
    client.force_login(alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    prove(client, alice.user, seconds_ago=3600)
    api = Api(client)
    assert api.get("tenants/acme/teams/").status_code == 200
    answer = api.post("tenants/acme/teams/", name="search")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:forebay:problem:proof_needed")


def test_who_owes_a_second_factor_enrols_first(
    alice: Member, bob: Member, enter: Enter, settings: Any
) -> None:
    settings.SECOND_FACTOR = "required"
    owner, developer = enter(alice), enter(bob)
    assert owner.get("me/").json()["type"] == "urn:forebay:problem:duty_owed"
    assert developer.get("me/").status_code == 200
    Authenticator.objects.create(user=alice.user, type=Authenticator.Type.TOTP, data={})
    assert owner.get("me/").status_code == 200


def test_a_role_that_is_taken_takes_its_power_along(
    alice: Member, bob: Member, enter: Enter
) -> None:
    api = enter(bob)
    assert api.post("tenants/acme/keys/", name="one").status_code == 201
    bob.change_role(Role.MEMBER, by="test")
    assert api.post("tenants/acme/keys/", name="two").status_code == 403
    bob.remove(by="test")
    assert api.get("tenants/acme/").status_code == 404
    bob.user.is_active = False
    bob.user.save()
    assert api.get("me/").status_code == 401


def test_what_is_denied_is_on_record_though_it_was_undone(bob: Member, enter: Enter) -> None:
    enter(bob).post("tenants/acme/teams/", name="search")
    event = Event.objects.get(action="access:denied")
    assert (event.actor, event.tenant_id, event.success) == (bob.actor, bob.tenant_id, False)
    assert event.detail == {"route": "POST /api/v1/tenants/acme/teams/"}


def test_an_operator_who_looks_into_a_tenant_is_on_its_record(
    acme: Tenant, operator: User, enter: Enter
) -> None:
    api = enter(operator)
    api.get("tenants/acme/keys/")
    api.get("tenants/acme/members/")
    seen = Event.objects.filter(action="operator:access", tenant_id=acme.id)
    assert [event.actor for event in seen] == [operator.actor]
