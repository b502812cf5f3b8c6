"""A link that sets a new password: for whom, by whom, and what it does not open."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from audit.actions import Action
from audit.models import Event
from tenants.accounts import password_reset
from tenants.accounts.password_reset import NotTheirs
from tenants.models import Member, Tenant, User
from tenants.roles import Role
from tests.console.account.conftest import code, try_password, with_app
from tests.console.conftest import PASSWORD

NEW = "another river, another dam"
FORM = {"password": NEW, "again": NEW}


@pytest.fixture
def link(bob: Member, alice: Member) -> str:
    return urlsplit(password_reset.issue_for_member(bob, by=alice.actor)).path


@pytest.mark.django_db
def test_it_sets_the_password_once_and_ends_the_sessions(
    link: str, alice: Member, bob: Member, client: Client
) -> None:
    elsewhere = Client()
    try_password(elsewhere, bob.user.email)
    page = client.get(link).content.decode()
    assert "Choose a new password" in page
    assert client.post(link, FORM)["Location"] == "/"
    assert client.get("/console/t/acme/").status_code == 200
    assert elsewhere.get("/console/t/acme/").status_code == 302
    assert Client().post(link, FORM).status_code == 410
    assert try_password(Client(), bob.user.email, NEW).status_code == 302
    changed = Event.objects.get(action=Action.PASSWORD_CHANGE)
    assert (changed.actor, changed.tenant_id, changed.detail) == (
        bob.actor,
        bob.tenant_id,
        {"how": "link", "link_by": alice.actor},
    )


@pytest.mark.django_db
def test_the_second_factor_stays(link: str, bob: Member, client: Client) -> None:
    with_app(bob.user)
    assert client.post(link, FORM)["Location"] == "/login/second-factor/"
    assert client.get("/console/t/acme/").status_code == 302
    client.post("/login/second-factor/", {"code": code()})
    assert client.get("/console/t/acme/").status_code == 200


@pytest.mark.django_db
def test_a_weak_one_is_refused_and_the_link_stays(link: str, client: Client) -> None:
    answer = client.post(link, {"password": "short", "again": "short"})
    assert "too short" in answer.content.decode()
    assert client.get(link).status_code == 200


@pytest.mark.django_db
def test_not_for_operators_nor_for_people_of_other_tenants(
    alice: Member, bob: Member, globex: Tenant, operator: User
) -> None:
    inside = alice.tenant.add_member(operator, Role.MEMBER, by="test")
    with pytest.raises(NotTheirs):
        password_reset.issue_for_member(inside, by=alice.actor)
    globex.add_member(bob.user, Role.MEMBER, by="test")
    with pytest.raises(NotTheirs):
        password_reset.issue_for_member(bob, by=alice.actor)


@pytest.mark.django_db
def test_a_link_does_not_outlive_what_made_it_possible(
    link: str, bob: Member, globex: Tenant, client: Client
) -> None:
    globex.add_member(bob.user, Role.OWNER, by="test")
    assert client.post(link, FORM).status_code == 410
    assert try_password(Client(), bob.user.email, NEW).status_code == 200


@pytest.mark.django_db
def test_one_made_by_somebody_who_lost_the_power_opens_nothing(
    link: str, alice: Member, client: Client
) -> None:
    Member.objects.filter(pk=alice.pk).update(role=Role.MEMBER)
    assert client.get(link).status_code == 410


@pytest.mark.django_db
def test_a_command_makes_one_for_anybody(operator: User, capsys: Any, client: Client) -> None:
    call_command("reset_password", operator.email.upper())
    url = capsys.readouterr().out.split()[-1]
    assert client.post(urlsplit(url).path, FORM)["Location"] == "/"
    assert try_password(Client(), operator.email, NEW).status_code == 302
    with pytest.raises(CommandError, match="there is no account"):
        call_command("reset_password", "nobody@x.example")


@pytest.mark.django_db
def test_an_administrators_link_does_not_open_an_owners_account(
    alice: Member, erin: Member, bob: Member, client: Client
) -> None:
    """The role that counts is the one that bob has when it is used."""
    link = urlsplit(password_reset.issue_for_member(bob, by=erin.actor)).path
    bob.change_role(Role.OWNER, by=alice.actor)
    assert client.post(link, FORM).status_code == 410
    assert try_password(Client(), bob.user.email, NEW).status_code == 200
    bob.change_role(Role.DEVELOPER, by=alice.actor)
    assert client.post(link, FORM)["Location"] == "/"


@pytest.mark.django_db
def test_an_owners_link_does(alice: Member, bob: Member, client: Client) -> None:
    link = urlsplit(password_reset.issue_for_member(bob, by=alice.actor)).path
    bob.change_role(Role.AUDITOR, by=alice.actor)
    assert client.post(link, FORM)["Location"] == "/"


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["by themselves", "with another link"])
def test_a_link_does_not_outlive_the_password_it_was_to_replace(
    link: str, bob: Member, erin: Member, how: str
) -> None:
    """Two were made, or it turned up again: who kept the other one would take the account back."""
    theirs = Client()
    if how == "by themselves":
        try_password(theirs, bob.user.email)
        changed = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        theirs.post("/account/password/", changed)
    else:
        other = urlsplit(password_reset.issue_for_member(bob, by=erin.actor)).path
        theirs.post(other, FORM)
    third = "a third river, a third dam"
    assert Client().post(link, {"password": third, "again": third}).status_code == 410
    assert try_password(Client(), bob.user.email, NEW).status_code == 302
    assert theirs.get("/account/").status_code == 200


@pytest.mark.django_db
def test_it_ends_a_sign_in_that_waits_for_the_second_factor(link: str, bob: Member) -> None:
    """The old password was right when it was shown, and is none any more."""
    with_app(bob.user)
    waiting = Client()
    assert try_password(waiting, bob.user.email)["Location"] == "/login/second-factor/"
    Client().post(link, FORM)
    assert waiting.post("/login/second-factor/", {"code": code()})["Location"] == "/login/"
    assert waiting.get("/account/").status_code == 302
    try_password(waiting, bob.user.email, NEW)
    waiting.post("/login/second-factor/", {"code": code(steps=1)})
    assert waiting.get("/account/").status_code == 200
