"""A member's page, teams, roles and invitations."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants.models import ApiKey, Link, Member, Team, Tenant, User
from tenants.models.link import Purpose
from tenants.roles import HOLDERS, Permission, Profile, Role, matrix
from tests.console.conftest import SignIn, hidden_fields, join, prove
from tests.unguarded import unguarded

PEOPLE = "/console/t/acme/members/"
TEAMS = "/console/t/acme/teams/"


def test_a_role_is_changed_and_holds_at_once(alice: Member, bob: Member, sign_in: SignIn) -> None:
    bobs = sign_in(bob)
    assert bobs.get("/console/t/acme/keys/").status_code == 200
    answer = sign_in(alice).post(f"{PEOPLE}{bob.pk}/role/", {"role": "member"}, follow=True)
    assert "Bob is now: Member." in answer.content.decode()
    assert bobs.get("/console/t/acme/keys/").status_code == 403
    event = Event.objects.get(action=Action.MEMBER_ROLE)
    assert (event.actor, event.detail["role"]) == (alice.actor, ["developer", "member"])


def test_an_administrator_neither_makes_nor_unmakes_owners(
    alice: Member, bob: Member, erin: Member, sign_in: SignIn
) -> None:
    client = sign_in(erin)
    made = client.post(f"{PEOPLE}{bob.pk}/role/", {"role": "owner"})
    assert "Select a valid choice" in made.content.decode()
    for act in ("role", "removal", "reset-link"):
        assert client.post(f"{PEOPLE}{alice.pk}/{act}/", {"role": "member"}).status_code == 403
    assert Member.objects.get(pk=alice.pk).role == Role.OWNER
    assert Member.objects.get(pk=bob.pk).role == Role.DEVELOPER


def test_an_administrator_has_no_way_to_read_prompts(
    alice: Member, erin: Member, carol: Member, sign_in: SignIn
) -> None:
    client = sign_in(erin)
    made = client.post(f"{PEOPLE}{erin.pk}/role/", {"role": "auditor"})
    assert "Select a valid choice" in made.content.decode()
    form = {"email": "erin2@acme.example", "role": "auditor", "days": "7"}
    assert "Select a valid choice" in client.post(f"{PEOPLE}invitation/", form).content.decode()
    assert client.post(f"{PEOPLE}{carol.pk}/reset-link/").status_code == 403
    assert not Link.objects.exists()
    assert client.post(f"{PEOPLE}{erin.pk}/role/", {"role": "developer"}).status_code == 302
    assert sign_in(alice).post(f"{PEOPLE}{erin.pk}/role/", {"role": "auditor"}).status_code == 302


def test_an_owner_gains_no_second_duty(alice: Member, acme: Tenant, sign_in: SignIn) -> None:
    join(acme, "second@acme.example", Role.OWNER)
    acme.change(by="test", profile=Profile.MLPS)
    made = sign_in(alice).post(f"{PEOPLE}{alice.pk}/role/", {"role": "auditor"})
    assert "Select a valid choice" in made.content.decode()


def test_the_last_owner_stays_owner(alice: Member, sign_in: SignIn) -> None:
    answer = sign_in(alice).post(f"{PEOPLE}{alice.pk}/role/", {"role": "admin"})
    assert "at least one owner" in answer.content.decode()
    assert Member.objects.get(pk=alice.pk).role == Role.OWNER


def test_a_dangerous_act_wants_a_fresh_proof(alice: Member, bob: Member) -> None:
    client = Client()
    client.force_login(alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    prove(client, alice.user, seconds_ago=3600)
    answer = client.post(f"{PEOPLE}{bob.pk}/removal/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/proof/")
    assert Member.objects.filter(pk=bob.pk).exists()


def test_a_reset_link_is_shown_once(alice: Member, bob: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    shown = client.post(f"{PEOPLE}{bob.pk}/reset-link/").content.decode()
    assert "/welcome/" in shown
    assert "/welcome/" not in client.get(f"{PEOPLE}{bob.pk}/").content.decode()
    assert Link.objects.get().purpose == Purpose.RESET


def test_no_reset_link_for_an_account_of_two_tenants(
    alice: Member, bob: Member, globex: Tenant, sign_in: SignIn
) -> None:
    globex.add_member(bob.user, Role.MEMBER, by="test")
    answer = sign_in(alice).post(f"{PEOPLE}{bob.pk}/reset-link/", follow=True)
    assert "Ask an operator" in answer.content.decode()
    assert not Link.objects.exists()


def test_another_tenants_member_does_not_exist(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    assert client.get(f"{PEOPLE}{charlie.pk}/").status_code == 404
    for act in ("role", "reset-link", "removal"):
        assert client.post(f"{PEOPLE}{charlie.pk}/{act}/", {"role": "member"}).status_code == 404


def test_an_invitation_is_revoked(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    form = {"email": "grace@acme.example", "role": "developer", "days": "1"}
    client.post(f"{PEOPLE}invitation/", form)
    link = Link.objects.get()
    assert link.expires_at <= timezone.now() + timedelta(days=1)
    answer = client.post(f"{PEOPLE}links/{link.pk}/revocation/", follow=True)
    assert "no longer works" in answer.content.decode()
    assert not Link.objects.usable().exists()
    assert Event.objects.filter(action=Action.LINK_REVOKE, actor=alice.actor).count() == 1


def test_a_second_invitation_replaces_the_first(alice: Member, sign_in: SignIn) -> None:
    client, tenant = sign_in(alice), alice.tenant
    for role in (Role.ADMIN, Role.MEMBER):
        form = {"email": "Frank@acme.example", "role": role, "days": "7"}
        assert client.post("/console/t/acme/members/invitation/", form).status_code == 200
    (link,) = Link.objects.invitations(tenant)
    assert link.role == Role.MEMBER
    assert Event.objects.filter(action=Action.LINK_REVOKE).count() == 1


def test_an_administrator_replaces_no_invitation_of_an_owner(
    alice: Member, erin: Member, sign_in: SignIn
) -> None:
    Link.issue(
        Purpose.INVITATION,
        by=alice.actor,
        email="frank@acme.example",
        tenant=alice.tenant,
        role=Role.OWNER,
    )
    form = {"email": "frank@acme.example", "role": Role.MEMBER, "days": "7"}
    page = sign_in(erin).post("/console/t/acme/members/invitation/", form).content.decode()
    assert "Ask an owner." in page
    (link,) = Link.objects.invitations(alice.tenant)
    assert link.role == Role.OWNER


def test_an_owners_invitation_is_not_an_administrators_to_revoke(
    alice: Member, erin: Member, sign_in: SignIn
) -> None:
    form = {"email": "grace@acme.example", "role": "owner", "days": "1"}
    sign_in(alice).post(f"{PEOPLE}invitation/", form)
    link, client = Link.objects.get(), sign_in(erin)
    assert f"{link.pk}/revocation/" not in client.get(PEOPLE).content.decode()
    assert client.post(f"{PEOPLE}links/{link.pk}/revocation/").status_code == 403
    assert Link.objects.usable().exists()


def test_another_tenants_invitation_does_not_exist(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    Link.issue(
        Purpose.INVITATION,
        by="t",
        email="x@globex.example",
        tenant=charlie.tenant,
        role=Role.MEMBER,
    )
    link = Link.objects.get()
    assert sign_in(alice).post(f"{PEOPLE}links/{link.pk}/revocation/").status_code == 404
    assert Link.objects.usable().exists()


def test_a_member_is_not_made_more_by_extra_fields(
    alice: Member, bob: Member, globex: Tenant, sign_in: SignIn
) -> None:
    extra = {"is_operator": "1", "is_staff": "1", "tenant": str(globex.pk), "user": "1"}
    sign_in(alice).post(f"{PEOPLE}{bob.pk}/role/", {"role": "auditor", **extra})
    fresh = Member.objects.select_related("user").get(pk=bob.pk)
    assert (fresh.role, fresh.tenant_id) == (Role.AUDITOR, bob.tenant_id)
    assert not fresh.user.is_operator


# Roles -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", list(Profile))
def test_the_matrix_is_that_of_the_code(alice: Member, sign_in: SignIn, profile: Profile) -> None:
    Tenant.objects.filter(pk=alice.tenant_id).update(profile=profile)
    context = sign_in(alice).get("/console/t/acme/roles/").context
    shown = {line.permission: tuple(cell.held for cell in line.cells) for line in context["lines"]}
    assert shown == {row.permission: row.held for row in matrix(profile)}
    assert set(shown) == set(Permission)
    assert [own for _, own in context["columns"]].index(True) == HOLDERS.index("owner")


def test_it_says_what_another_profile_changes(alice: Member, sign_in: SignIn) -> None:
    context = sign_in(alice).get("/console/t/acme/roles/").context
    marked = {
        (line.permission, HOLDERS[i])
        for line in context["lines"]
        for i, cell in enumerate(line.cells)
        if cell.otherwise
    }
    assert ("audit:view", "owner") in marked
    assert ("chat", "owner") not in marked


# Teams -------------------------------------------------------------------------------------------
def test_a_team_is_made_filled_renamed_and_disbanded(
    alice: Member, bob: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    client.post(TEAMS, {"name": "risk"})
    team = Team.objects.get()
    client.post(f"{TEAMS}{team.pk}/joining/", {"member": str(bob.pk)})
    key = ApiKey.issue(alice.tenant, "ci", by="t", team=team)[0]
    page = client.get(f"{TEAMS}{team.pk}/").content.decode()
    assert "bob@acme.example" in page
    assert key.public_id in page
    client.post(f"{TEAMS}{team.pk}/", {"name": "risk models"})
    assert "risk models" in client.get(TEAMS).content.decode()
    client.post(f"{TEAMS}{team.pk}/members/{bob.pk}/leaving/")
    assert not team.memberships.exists()
    client.post(f"{TEAMS}{team.pk}/disbanding/")
    assert not Team.objects.exists()
    assert ApiKey.objects.get(pk=key.pk).team is None
    actions = set(Event.objects.filter(actor=alice.actor).values_list("action", flat=True))
    assert {"team:create", "team:join", "team:change", "team:leave", "team:delete"} <= actions


def test_a_taken_name_is_said(alice: Member, sign_in: SignIn) -> None:
    Team.form(alice.tenant, "risk", by="t")
    page = sign_in(alice).post(TEAMS, {"name": "risk"}).content.decode()
    assert "There is a team of this name already." in page
    assert Team.objects.count() == 1


def test_a_team_keeps_what_was_changed_while_its_page_was_open(
    alice: Member, sign_in: SignIn
) -> None:
    team, client = Team.form(alice.tenant, "risk", by="t"), sign_in(alice)
    opened = hidden_fields(client, f"{TEAMS}{team.pk}/")
    team.change(by="t", temporary_chats=True)
    page = client.post(f"{TEAMS}{team.pk}/", {"name": "risk models", **opened}).content.decode()
    assert "Somebody has changed it meanwhile." in page
    team.refresh_from_db()
    assert (team.name, team.temporary_chats) == ("risk", True)


def test_nobody_from_elsewhere_joins(alice: Member, charlie: Member, sign_in: SignIn) -> None:
    team = Team.form(alice.tenant, "risk", by="t")
    theirs = Team.form(charlie.tenant, "theirs", by="t")
    client = sign_in(alice)
    page = client.post(f"{TEAMS}{team.pk}/joining/", {"member": str(charlie.pk)})
    assert "Select a valid choice" in page.content.decode()
    assert client.get(f"{TEAMS}{theirs.pk}/").status_code == 404
    assert client.post(f"{TEAMS}{theirs.pk}/disbanding/").status_code == 404
    assert client.post(f"{TEAMS}{team.pk}/members/{charlie.pk}/leaving/").status_code == 404
    assert Team.objects.filter(pk=theirs.pk).exists()


def test_a_tenant_without_teams_says_what_they_are_for(bob: Member, sign_in: SignIn) -> None:
    page = sign_in(bob).get(TEAMS).content.decode()
    assert "No team yet" in page
    assert "Create team" not in page


def test_an_operators_look_is_on_the_tenants_record(
    carol: Member, operator: User, sign_in: SignIn
) -> None:
    client = sign_in(operator)
    for page in ("", "members/", "keys/", "live/"):
        client.get(f"/console/t/acme/{page}")
    looks = Event.objects.of_tenant(carol.tenant_id).filter(action=Action.OPERATOR_ACCESS)
    assert [look.actor for look in looks] == [operator.actor]  # one for all four
    with unguarded():
        looks.update(at=timezone.now() - timedelta(minutes=11))
    client.get("/console/t/acme/")
    assert looks.count() == 2
    page = sign_in(carol).get("/console/t/acme/audit/").content.decode()
    assert "Operator accessed the tenant" in page
    assert operator.email not in page


def test_an_operator_who_is_a_member_just_works_there(
    acme: Tenant, operator: User, sign_in: SignIn
) -> None:
    acme.add_member(operator, Role.OWNER, by="test")
    sign_in(operator).get("/console/t/acme/")
    assert not Event.objects.filter(action=Action.OPERATOR_ACCESS).exists()


def test_a_phone_book_of_two_tenants_stays_apart(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    join(alice.tenant, "zoe@acme.example", Role.MEMBER)
    page = sign_in(charlie).get("/console/t/globex/members/").content.decode()
    assert "charlie@globex.example" in page
    assert "acme.example" not in page
