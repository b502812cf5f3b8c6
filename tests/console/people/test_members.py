import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.retention import legal_hold
from tenants.models import Link, Member, User
from tenants.models.link import Purpose
from tenants.roles import Role
from tests.console.conftest import PASSWORD, SignIn, join

MEMBERS = "/console/t/acme/members/"
INVITATION = f"{MEMBERS}invitation/"


def removal(member: Member) -> str:
    return f"{MEMBERS}{member.pk}/removal/"


def test_an_invitation_link_is_shown_once_and_works(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    form = {"email": "Grace@acme.example", "role": "developer", "days": "7"}
    shown = client.post(INVITATION, form).content.decode()
    found = re.search(r'value="http://[^/]+(/welcome/[^"]+)"', shown)
    assert found
    assert found[1] not in client.get(MEMBERS).content.decode()
    assert "Grace@acme.example" in client.get(MEMBERS).content.decode()  # among the open ones
    Client().post(found[1], {"name": "Grace", "password": PASSWORD, "again": PASSWORD})
    assert Member.objects.get(user__email="grace@acme.example").role == Role.DEVELOPER
    assert Event.objects.filter(action=Action.LINK_CREATE, actor=alice.actor).count() == 1


@pytest.mark.parametrize("by", ["alice", "operator"])
def test_who_made_an_invitation_does_not_use_it(
    alice: Member, operator: User, sign_in: SignIn, by: str
) -> None:
    makers: dict[str, Member | User] = {"alice": alice, "operator": operator}
    maker = makers[by]
    url = Link.issue(
        Purpose.INVITATION,
        by=maker.actor,
        email="grace@bank.example",
        tenant=alice.tenant,
        role=Role.MEMBER,
    )
    path, form = urlsplit(url).path, {"password": PASSWORD, "again": PASSWORD, "name": "Grace"}
    client = sign_in(operator if by == "operator" else alice)
    for answer in (client.get(path), client.post(path, form)):
        assert answer.status_code == 403
        assert "Its link is for grace@bank.example" in answer.content.decode()
    assert not User.objects.filter(email="grace@bank.example").exists()
    assert Client().post(path, form).status_code == 302


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"email": "bob@acme.example"}, "a member already"),
        ({"email": "BOB@acme.example"}, "a member already"),
        ({"email": "nonsense"}, "Enter a valid email address"),
        ({"role": "emperor"}, "Select a valid choice"),
    ],
)
def test_bad_invitations(
    alice: Member, bob: Member, sign_in: SignIn, bad: dict[str, str], said: str
) -> None:
    form = {"email": "grace@acme.example", "role": "member", "days": "7", **bad}
    assert said in sign_in(alice).post(INVITATION, form).content.decode()
    assert not Link.objects.exists()


def test_a_member_is_removed(alice: Member, bob: Member, sign_in: SignIn) -> None:
    answer = sign_in(alice).post(removal(bob), follow=True)
    assert "Bob was removed." in answer.content.decode()
    assert not Member.objects.filter(pk=bob.pk).exists()
    event = Event.objects.get(action=Action.MEMBER_REMOVE)
    assert (event.actor, event.subject_id) == (alice.actor, bob.subject_id)


def test_a_removed_member_is_out_at_once(alice: Member, bob: Member, sign_in: SignIn) -> None:
    bobs = sign_in(bob)
    assert bobs.get("/console/t/acme/").status_code == 200
    sign_in(alice).post(removal(bob))
    assert bobs.get("/console/t/acme/").status_code == 404


@pytest.mark.parametrize("who", ["alice", "operator"])
def test_the_last_owner_stays(
    request: pytest.FixtureRequest, alice: Member, sign_in: SignIn, who: str
) -> None:
    answer = sign_in(request.getfixturevalue(who)).post(removal(alice), follow=True)
    assert "at least one owner" in answer.content.decode()
    assert Member.objects.filter(pk=alice.pk).exists()


def test_who_is_under_a_hold_stays_a_member(alice: Member, bob: Member, sign_in: SignIn) -> None:
    ends = timezone.now() + timedelta(days=1)
    legal_hold.request(
        bob.tenant_id, by="user:8", reason="case", expires_at=ends, subject_id=bob.subject_id
    )
    client = sign_in(alice)
    assert "A legal hold keeps" in client.post(removal(bob), follow=True).content.decode()
    refused = client.delete(f"/api/v1/tenants/acme/members/{bob.pk}/", headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:forebay:problem:on_hold")
    assert Member.objects.filter(pk=bob.pk).exists()


def test_the_last_but_one_owner_can_go(alice: Member, sign_in: SignIn) -> None:
    join(alice.tenant, "grace@acme.example", Role.OWNER)
    sign_in(alice).post(removal(alice))
    assert not Member.objects.filter(pk=alice.pk).exists()


def test_an_administrator_neither_makes_nor_removes_owners(
    alice: Member, erin: Member, sign_in: SignIn
) -> None:
    client = sign_in(erin)
    refused = client.post(INVITATION, {"email": "erin2@acme.example", "role": "owner"})
    assert "Select a valid choice" in refused.content.decode()
    assert client.post(removal(alice)).status_code == 403
    assert Member.objects.filter(pk=alice.pk).exists()


def test_a_tenant_without_people_says_what_to_do(
    acme: object, operator: User, sign_in: SignIn
) -> None:
    page = sign_in(operator).get(MEMBERS).content.decode()
    assert "Nobody belongs to this tenant yet" in page


def test_an_address_that_is_too_long_is_none(alice: Member, sign_in: SignIn) -> None:
    form = {"email": f"{'g' * 250}@acme.example", "role": "member", "days": "7"}
    answer = sign_in(alice).post(INVITATION, form)
    assert answer.context["form"].errors.keys() == {"email"}
    assert not Link.objects.exists()
