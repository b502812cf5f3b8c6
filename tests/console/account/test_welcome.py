from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants.models import Link, Member, Tenant, User
from tenants.models.link import Purpose
from tenants.roles import Role
from tests.console.conftest import PASSWORD, SignIn, join

FORM = {"name": "Grace", "password": PASSWORD, "again": PASSWORD}


def path(link: str) -> str:
    return urlsplit(link).path


@pytest.fixture
def first_run(db: None) -> str:
    return path(Link.issue(Purpose.FIRST_RUN, by="test"))


@pytest.fixture
def invitation(acme: Tenant) -> str:
    link = Link.issue(
        Purpose.INVITATION, by="test", email="grace@acme.example", tenant=acme, role=Role.DEVELOPER
    )
    return path(link)


def test_the_first_operator_sets_a_password_and_is_signed_in(
    first_run: str, client: Client
) -> None:
    assert "Set up the first operator" in client.get(first_run).content.decode()
    answer = client.post(first_run, {**FORM, "email": "Grace@Forebay.example"}, follow=True)
    assert answer.status_code == 200
    assert answer.redirect_chain[-1][0] == "/console/"
    user = User.objects.get()
    assert (user.email, user.is_operator, user.check_password(PASSWORD)) == (
        "grace@forebay.example",
        True,
        True,
    )
    assert Event.objects.filter(action=Action.OPERATOR_CREATE).count() == 1


def test_an_address_that_is_too_long_is_none(first_run: str, client: Client) -> None:
    answer = client.post(first_run, {**FORM, "email": f"{'g' * 250}@forebay.example"})
    assert answer.context["form"].errors.keys() == {"email"}
    assert not User.objects.exists()


def test_the_link_works_once(first_run: str, client: Client) -> None:
    client.post(first_run, {**FORM, "email": "grace@forebay.example"})
    for answer in (
        Client().get(first_run),
        Client().post(first_run, {**FORM, "email": "mallory@x.example"}),
    ):
        assert answer.status_code == 410
        assert "This link no longer works" in answer.content.decode()
    assert User.objects.count() == 1


def test_a_newer_link_takes_the_older_ones_place(first_run: str, client: Client) -> None:
    newer = path(Link.issue(Purpose.FIRST_RUN, by="test"))
    assert client.get(first_run).status_code == 410
    assert client.get(newer).status_code == 200


@pytest.mark.parametrize("token", ["x", "0" * 43])
def test_a_made_up_link_is_no_link(db: None, client: Client, token: str) -> None:
    assert client.get(f"/welcome/{token}/").status_code == 410


def test_an_expired_link_is_no_link(first_run: str, client: Client) -> None:
    Link.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(first_run).status_code == 410


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"again": "something else entirely"}, "The two passwords are not the same."),
        ({"password": "short", "again": "short"}, "too short"),
        ({"password": "password1234", "again": "password1234"}, "too common"),
        (
            {"password": "grace@acme.example", "again": "grace@acme.example"},
            "too similar to the email",
        ),
    ],
)
def test_a_weak_or_mistyped_password_is_refused_and_the_link_stays(
    invitation: str, client: Client, change: dict[str, str], said: str
) -> None:
    answer = client.post(invitation, {**FORM, **change})
    assert said in answer.content.decode()
    assert not User.objects.exists()
    assert client.get(invitation).status_code == 200


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("en", "Use small letters, capitals, digits and other characters: all four."),
        ("zh-hans", "至少 12 个字符"),
    ],
)
def test_what_is_asked_for_stands_beside_the_password(
    acme: Tenant, invitation: str, client: Client, language: str, hint: str
) -> None:
    """The joined tenant's policy; a weak password is not called a mistyped one."""
    acme.change(by="test", profile="mlps-l3")
    headers = {"accept-language": language}
    weak = {**FORM, "password": "short", "again": "short"}
    for answer in (
        client.get(invitation, headers=headers),
        client.post(invitation, weak, headers=headers),
    ):
        field = answer.context["form"]["password"]
        assert hint in str(field.help_text)
        assert hint in answer.content.decode()
    assert answer.context["form"].errors.keys() == {"password"}


def test_an_invitation_joins_the_tenant_in_its_role(invitation: str, client: Client) -> None:
    client.post(invitation, {**FORM, "email": "mallory@x.example"})
    member = Member.objects.get()
    assert (member.user.email, member.role) == ("grace@acme.example", Role.DEVELOPER)
    assert client.get("/console/t/acme/").status_code == 200
    assert not member.user.is_operator


def test_an_invitation_does_not_open_the_account_of_another(
    invitation: str, charlie: Member, client: Client
) -> None:
    """Whoever made the link has seen it: it must not set the password of an account that exists."""
    link = Link.issue(
        Purpose.INVITATION, by="test", email="charlie@globex.example", tenant=Tenant.objects.first()
    )
    page = client.get(path(link)).content.decode()
    assert "There is an account for charlie@globex.example" in page
    answer = client.post(path(link), {**FORM, "password": "mine now, charlie"})
    assert "That is not this account" in answer.content.decode()
    charlie.user.refresh_from_db()
    assert charlie.user.check_password(PASSWORD)
    assert client.get("/console/t/globex/").status_code == 302
    assert Event.objects.filter(action=Action.SESSION_DENIED).count() == 1


def test_with_the_password_an_account_joins_a_second_tenant(
    acme: Tenant, charlie: Member, client: Client
) -> None:
    link = Link.issue(
        Purpose.INVITATION, by="test", email="charlie@globex.example", tenant=acme, role=Role.MEMBER
    )
    client.post(path(link), {"password": PASSWORD})
    assert set(charlie.user.memberships.values_list("tenant__name", flat=True)) == {
        "acme",
        "globex",
    }


def of_ones_own(operator: User, tenant: Tenant) -> str:
    by, email = operator.actor, operator.email
    return Link.issue(Purpose.INVITATION, by=by, email=email, tenant=tenant, role=Role.OWNER)


def test_an_operator_does_not_invite_themselves_where_there_are_people(
    acme: Tenant, operator: User, sign_in: SignIn, client: Client
) -> None:
    """They would read what the people of the tenant have asked."""
    link = of_ones_own(operator, acme)
    join(acme, "alice@acme.example", Role.OWNER)
    for who in (client, sign_in(operator)):
        answer = who.post(path(link), {"password": PASSWORD})
        assert "You made this invitation yourself." in answer.content.decode()
    assert not operator.memberships.exists()
    alices = Link.issue(
        Purpose.INVITATION,
        by=Member.objects.get().actor,
        email=operator.email,
        tenant=acme,
        role=Role.MEMBER,
    )
    assert client.post(path(alices), {"password": PASSWORD}).status_code == 302
    assert operator.memberships.get().role == Role.MEMBER


def test_but_opens_a_tenant_for_themselves(acme: Tenant, operator: User, client: Client) -> None:
    link = of_ones_own(operator, acme)
    assert client.post(path(link), {"password": PASSWORD}).status_code == 302
    assert operator.memberships.get().role == Role.OWNER


def test_a_first_run_link_does_not_open_an_account_either(
    first_run: str, charlie: Member, client: Client
) -> None:
    answer = client.post(first_run, {**FORM, "email": "charlie@globex.example", "password": "no"})
    assert "There is an account for charlie@globex.example" in answer.content.decode()
    assert not User.objects.filter(is_operator=True).exists()
    again = {"email": "charlie@globex.example", "password": PASSWORD}
    assert client.post(first_run, again).status_code == 302
    assert User.objects.get(is_operator=True) == charlie.user


def test_no_password_works_before_a_link_has_set_one(db: None, client: Client) -> None:
    User.objects.create_user("grace@acme.example")
    for guess in ("", "admin", "password", "forebay", "None"):
        answer = client.post("/login/", {"login": "grace@acme.example", "password": guess})
        assert answer.status_code == 200
