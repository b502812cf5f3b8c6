"""Whoever is refused a page is on record, and what the page would have done is undone."""

from typing import Any

import pytest

from audit.models import Event
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
KEY = {"name": "mine", "days": "90", "scopes": "inference"}


def denied() -> list[tuple[str, Any, str, bool]]:
    found = Event.objects.filter(action="access:denied").order_by("id")
    return [(e.actor, e.tenant_id, e.detail["route"], e.success) for e in found]


def test_a_role_that_does_not_include_a_page(dave: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    assert client.get("/console/t/acme/keys/").status_code == 403
    answer = client.post("/console/t/acme/keys/", {"name": "mine", "days": "90"})
    assert answer.status_code == 403
    said = (dave.actor, dave.tenant_id, "console/t/<slug:tenant>/keys/", False)
    assert denied() == [said, said]
    assert not ApiKey.objects.exists()
    event = Event.objects.filter(action="access:denied").first()
    assert event
    assert (event.subject_id, str(event.client_net)) == (dave.subject_id, "127.0.0.0")


def test_a_page_of_operators(alice: Member, sign_in: SignIn) -> None:
    assert sign_in(alice).get("/console/tenants/").status_code == 403
    assert denied() == [(alice.user.actor, None, "console/tenants/", False)]


def test_another_tenants_page(alice: Member, charlie: Member, sign_in: SignIn) -> None:
    """They learn that there is no such tenant; the platform learns that they tried."""
    assert sign_in(alice).get("/console/t/globex/keys/").status_code == 404
    assert denied() == [(alice.user.actor, None, "console/t/<slug:tenant>/keys/", False)]


def test_looking_for_what_is_not_there_is_no_offence(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    assert client.get("/console/t/acme/nowhere/").status_code == 404
    nobodys = "/console/t/acme/keys/00000000-0000-0000-0000-000000000000/"
    assert client.get(nobodys).status_code == 404
    assert denied() == []


def test_an_operator_is_refused_like_others(alice: Member, operator: User, sign_in: SignIn) -> None:
    alice.tenant.change(by="test", profile="mlps-l3")
    assert sign_in(operator).get("/console/t/acme/audit/").status_code == 403
    assert denied() == [(operator.actor, alice.tenant_id, "console/t/<slug:tenant>/audit/", False)]


@pytest.mark.parametrize(("verb", "why"), [("suspend", "suspended"), ("close", "closing")])
def test_a_closed_tenant_is_closed_to_its_people_and_open_to_operators(
    alice: Member, bob: Member, operator: User, sign_in: SignIn, verb: str, why: str
) -> None:
    """Over the pages as with a key: nothing is read, and no key is made meanwhile."""
    getattr(alice.tenant, verb)(by="test", reason="unpaid")
    for who in (alice, bob):
        client = sign_in(who)
        page = client.get("/console/t/acme/keys/")
        assert page.status_code == 403
        assert f"The tenant is {why}." in page.content.decode()
        assert client.post("/console/t/acme/keys/", KEY).status_code == 403
    assert sign_in(alice).get("/console/t/acme/audit/texts/").status_code == 403
    assert sign_in(alice).get("/account/data/").status_code == 200
    assert not ApiKey.objects.exists()
    assert sign_in(operator).get("/console/t/acme/keys/").status_code == 200


def test_who_has_another_tenant_lands_there(alice: Member, globex: Tenant, sign_in: SignIn) -> None:
    globex.add_member(alice.user, Role.OWNER, by="test")
    alice.tenant.suspend(by="test", reason="unpaid")
    assert sign_in(alice).get("/")["Location"] == "/console/t/globex/"
