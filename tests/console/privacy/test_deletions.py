"""The pages of deletion: a member's own, the tenant's, the operators', and the link that stays."""

import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone

from audit.erasure import certificate, deletion, execution
from audit.exports import portability
from audit.models import DeletionRequest, DeletionState, Event, Export
from console.privacy.own_data import link_of
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.console.conftest import SignIn, prove

LIST = "/console/t/acme/deletions/"
OWN = "/account/data/"
pytestmark = pytest.mark.django_db
State = DeletionState


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))


def erase(client: Client, **fields: str) -> Any:
    """Ask on the page, and confirm what it then names."""
    page = client.post(LIST, fields)
    confirmed = re.search(r'name="confirmed" value="([^"]+)"', page.content.decode())
    assert confirmed, page.content.decode()
    return client.post(LIST, {**fields, "confirmed": confirmed[1]})


def asked(member: Member, by_admin: Member | None = None, **more: Any) -> DeletionRequest:
    by = by_admin or member
    return deletion.ask(member.tenant_id, member.subject_id, by=by.actor, **more)


def test_a_member_asks_follows_and_holds_a_certificate(dave: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    assert "Ask for deletion" in client.get(OWN).content.decode()
    answer = client.post(f"{OWN}{dave.pk}/deletion/", {"mode": "erase", "reason": "I leave"})
    link = answer.headers["Location"]
    assert "Waits for approval" in client.get(link).content.decode()
    assert "Waits for approval" in client.get(OWN).content.decode()
    found = DeletionRequest.objects.get()
    deletion.approve(found, by="member:x")
    execution.work()
    stranger = Client()  # the link needs no account, which may be gone
    page = stranger.get(link).content.decode()
    assert "certificate proves it" in page
    signed = json.loads(stranger.get(link + "?format=json").content)
    assert certificate.verifies(signed)
    shown = stranger.get(link + "?certificate").content.decode()
    assert str(found.pk) in shown
    assert "Conversations" in shown
    page = client.get(OWN).content.decode()
    assert "Ask for deletion" in page  # nothing leads from them to the old request


def test_the_certificate_is_readable_in_chinese(dave: Member, sign_in: SignIn) -> None:
    asked(dave, decides=True)
    execution.work()
    link = link_of(DeletionRequest.objects.get())
    page = Client(headers={"accept-language": "zh-hans"}).get(link + "?certificate")
    assert "删除证明" in page.content.decode()


@pytest.mark.parametrize("token", ["x", "x:y:z", "a" * 200])
def test_a_guessed_link_leads_nowhere(client: Client, token: str) -> None:
    assert client.get(f"/erasure/{token}/").status_code == 404


def test_an_owner_decides_about_their_own(alice: Member, sign_in: SignIn) -> None:
    sign_in(alice).post(f"{OWN}{alice.pk}/deletion/", {"mode": "erase"})
    assert DeletionRequest.objects.get().state == State.APPROVED


def test_a_restriction_can_end_in_an_erasure(dave: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    asked(dave, decides=True, mode="restrict")
    execution.work()
    page = client.get(OWN).content.decode()
    assert "Restricted" in page
    assert "Ask for deletion" in page
    client.post(f"{OWN}{dave.pk}/deletion/", {"mode": "erase"})
    found = DeletionRequest.objects.get(mode="erase")
    assert found.state == State.REQUESTED
    page = client.get(OWN).content.decode()
    assert "Restricted" in page
    assert "Waits for approval" in page
    assert "Ask for deletion" not in client.get(OWN).content.decode()


def test_an_owner_with_a_forbidden_character_is_nobody(alice: Member, sign_in: SignIn) -> None:
    page = sign_in(alice).post(LIST, {"whose": "a\0b", "mode": "erase"})
    assert page.status_code == 200
    assert "Null characters are not allowed" in page.content.decode()


def test_a_restriction_is_lifted(dave: Member, erin: Member, sign_in: SignIn) -> None:
    found = asked(dave, decides=True, mode="restrict")
    execution.work()
    client, page = sign_in(erin), f"{LIST}{found.pk}/"
    assert "Lift the restriction" in client.get(page).content.decode()
    assert "required" in client.post(f"{page}lifting/", {"answer": " "}).content.decode()
    client.post(f"{page}lifting/", {"answer": "settled"})
    assert "has been lifted" in Client().get(link_of(found)).content.decode()
    assert "Ask for deletion" in sign_in(dave).get(OWN).content.decode()


def test_the_table_of_members_leads_to_the_question(
    dave: Member, erin: Member, carol: Member, sign_in: SignIn
) -> None:
    client = sign_in(erin)
    rows = client.get("/console/t/acme/members/").content.decode()
    form = rows.split(f'name="whose" value="{dave.user.email}"')[0].rpartition("<form")[2]
    assert f'action="{LIST}"' in form
    page = client.post(LIST, {"whose": dave.user.email, "mode": "erase"}).content.decode()
    assert f"Erase the data of {dave.user}?" in page
    assert not DeletionRequest.objects.exists()
    assert f'href="{LIST}?whose=dave%40acme.example"' in page
    options = client.get(LIST, {"whose": dave.user.email}).content.decode()
    assert f'name="whose" value="{dave.user.email}"' in options
    assert 'name="whose"' not in sign_in(carol).get("/console/t/acme/members/").content.decode()


def test_who_would_be_refused_is_told_so_and_has_no_button(
    alice: Member, erin: Member, sign_in: SignIn
) -> None:
    """Of a higher role, or by whoever asked; the others decide."""
    frank = alice.tenant.add_member(
        User.objects.create(email="f@acme.example"), Role.OWNER, by="test"
    )
    own = f"{LIST}{asked(dave_of(alice), by_admin=erin).pk}/"
    about_an_owner = f"{LIST}{asked(frank, by_admin=alice).pk}/"
    seen = {
        (who.user.email[0], page): sign_in(who).get(page).content.decode()
        for who in (alice, erin, frank)
        for page in (own, about_an_owner)
    }
    approve = {at for at, page in seen.items() if ">Approve</button>" in page}
    refuse = {at for at, page in seen.items() if ">Refuse</button>" in page}
    assert approve == {("a", own), ("f", own), ("f", about_an_owner)}
    assert refuse == {*seen} - {("e", about_an_owner)}
    assert "You cannot approve your own request" in seen["e", own]
    assert "may do more than yours" in seen["e", about_an_owner]


def dave_of(alice: Member) -> Member:
    user = User.objects.create(email="d@acme.example")
    member: Member = alice.tenant.add_member(user, Role.MEMBER, by="test")
    return member


def test_an_administrator_does_not_erase_an_owner_alone(
    erin: Member, alice: Member, sign_in: SignIn
) -> None:
    other = User.objects.create(email="o@acme.example")
    Member.objects.create(tenant=alice.tenant, user=other, role="owner")
    client, whose = sign_in(erin), {"whose": "alice@acme.example", "mode": "erase"}
    page = client.post(LIST, {**whose, "removes": "on"}).content.decode()
    assert "may do more than yours" in page
    erase(client, **whose)
    found = DeletionRequest.objects.get()
    assert (found.state, found.requested_by) == (State.REQUESTED, erin.actor)
    client.post(f"{LIST}{found.pk}/approval/")
    found.refresh_from_db()
    assert found.state == State.REQUESTED
    sign_in(alice).post(f"{LIST}{found.pk}/approval/")
    found.refresh_from_db()
    assert found.state == State.APPROVED


def test_the_last_owner_does_not_leave(alice: Member, sign_in: SignIn) -> None:
    sent = {"mode": "erase", "removes": "on"}
    page = sign_in(alice).post(f"{OWN}{alice.pk}/deletion/", sent)
    assert "at least one owner" in page.content.decode()
    assert not DeletionRequest.objects.exists()


def test_nobody_asks_for_another_member(dave: Member, bob: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    for path in ("deletion/", "export/", f"export/{uuid4()}/"):
        assert client.post(f"{OWN}{bob.pk}/{path}", {"mode": "erase"}).status_code == 404
    assert not DeletionRequest.objects.exists()
    assert not Export.objects.exists()


def test_who_has_not_proved_who_they_are_is_led_to_it(dave: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    prove(client, dave.user, seconds_ago=3600)
    answer = client.post(f"{OWN}{dave.pk}/deletion/", {"mode": "erase"})
    assert "/account/proof/" in answer.headers["Location"]
    assert not DeletionRequest.objects.exists()


async def _gathered(answer: Any) -> bytes:
    return b"".join([piece async for piece in answer.streaming_content])


@pytest.mark.django_db(transaction=True)
def test_a_member_takes_their_data(dave: Member, bob: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    client.post(f"{OWN}{dave.pk}/export/")
    portability.work()
    export = Export.objects.get()
    assert str(export.pk) in client.get(OWN).content.decode()
    answer = client.post(f"{OWN}{dave.pk}/export/{export.pk}/")
    body = async_to_sync(_gathered)(answer)
    assert (answer.status_code, len(body)) == (200, export.bytes)
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="my-data-acme')
    assert Event.objects.filter(action="subject:export", detail__download=True).count() == 1
    assert sign_in(bob).post(f"{OWN}{bob.pk}/export/{export.pk}/").status_code == 404


# The tenant's page --------------------------------------------------------------------------------
def test_an_administrator_erases_somebodys_data(
    erin: Member, dave: Member, sign_in: SignIn
) -> None:
    client = sign_in(erin)
    answer = erase(client, whose="dave@acme.example", mode="erase", reason="letter")
    found = DeletionRequest.objects.get()
    assert answer.headers["Location"] == f"{LIST}{found.pk}/"
    assert (found.state, found.subject_id) == (State.APPROVED, dave.subject_id)
    execution.work()
    page = client.get(f"{LIST}{found.pk}/").content.decode()
    assert "(erased person)" in page
    assert client.get(f"{LIST}{found.pk}/certificate/").status_code == 200
    file = client.get(f"{LIST}{found.pk}/certificate/?format=json")
    assert certificate.verifies(json.loads(file.content))


def test_the_question_names_the_person_and_counts_what_is_stored(
    erin: Member, dave: Member, bob: Member, sign_in: SignIn
) -> None:
    for _ in range(3):
        dave.tenant.conversations.create(
            member=dave, model="m", data_key_id=uuid4(), title_ciphertext=b""
        )
    client, whose = sign_in(erin), {"whose": "dave@acme.example", "mode": "erase"}
    page = client.post(LIST, whose).content.decode()
    assert "Erase the data of Dave?" in page
    assert re.search(r"Conversations[^<]*</dt><dd[^>]*>3</dd>", page)
    other = {**whose, "confirmed": str(bob.subject_id)}
    assert "Erase the data of Dave?" in client.post(LIST, other).content.decode()
    assert not DeletionRequest.objects.exists()


def test_or_a_keys(erin: Member, acme: Tenant, sign_in: SignIn) -> None:
    key, _text = ApiKey.issue(acme, "robot", by="test")
    erase(sign_in(erin), whose="robot", mode="restrict")
    assert DeletionRequest.objects.get().subject_id == key.subject_id


def test_or_theirs_who_have_left(erin: Member, dave: Member, sign_in: SignIn) -> None:
    """Only the pseudonym that the trail shows is left to name them by."""
    client, subject = sign_in(erin), dave.subject_id
    dave.remove(by=erin.actor)
    page = client.post(LIST, {"whose": str(subject), "mode": "erase", "removes": "on"})
    assert "have left already" in page.content.decode()
    erase(client, whose=str(subject), mode="erase")
    found = DeletionRequest.objects.get()
    assert (found.state, found.subject_id) == (State.APPROVED, subject)
    assert str(subject) in client.get(LIST).content.decode()
    page = client.post(LIST, {"whose": str(uuid4()), "mode": "erase"})
    assert "No member, key or person matches" in page.content.decode()


def test_of_nobody_there(erin: Member, charlie: Member, sign_in: SignIn) -> None:
    page = sign_in(erin).post(LIST, {"whose": "charlie@globex.example", "mode": "erase"})
    assert "No member, key or person matches" in page.content.decode()
    assert not DeletionRequest.objects.exists()


def test_a_request_is_approved_or_refused_once(erin: Member, dave: Member, sign_in: SignIn) -> None:
    found, client = asked(dave, reason="I leave"), sign_in(erin)
    assert "dave@acme.example" in client.get(LIST).content.decode()
    page = client.get(f"{LIST}{found.pk}/").content.decode()
    assert "I leave" in page
    empty = client.post(f"{LIST}{found.pk}/refusal/", {"answer": ""})
    assert empty.status_code == 200
    client.post(f"{LIST}{found.pk}/refusal/", {"answer": "A contract still runs."})
    found.refresh_from_db()
    assert found.state == State.REFUSED
    client.post(f"{LIST}{found.pk}/approval/")
    found.refresh_from_db()
    assert found.state == State.REFUSED
    assert "A contract still runs." in Client().get(link_of(found)).content.decode()


def test_approval_begins_it(erin: Member, dave: Member, sign_in: SignIn) -> None:
    found = asked(dave)
    sign_in(erin).post(f"{LIST}{found.pk}/approval/")
    found.refresh_from_db()
    assert (found.state, found.approved_by) == (State.APPROVED, erin.actor)


def test_others_do_not_decide(bob: Member, carol: Member, dave: Member, sign_in: SignIn) -> None:
    found = asked(dave)
    for member in (bob, carol, dave):
        client = sign_in(member)
        assert client.get(LIST).status_code == 403
        assert client.post(f"{LIST}{found.pk}/approval/").status_code == 403


def test_a_strangers_request_does_not_exist(charlie: Member, dave: Member, sign_in: SignIn) -> None:
    found, client = asked(dave), sign_in(charlie)
    for path in ("", "approval/", "refusal/", "certificate/"):
        inside = f"/console/t/globex/deletions/{found.pk}/{path}"
        answer = client.post(inside) if path in ("approval/", "refusal/") else client.get(inside)
        assert answer.status_code == 404


def test_operators_see_all_of_them(operator: User, dave: Member, sign_in: SignIn) -> None:
    asked(dave)
    page = sign_in(operator).get("/console/deletions/").content.decode()
    assert "dave@acme.example" in page
    assert sign_in(dave).get("/console/deletions/").status_code == 403


def test_a_banner_for_what_is_nearly_due(
    erin: Member, dave: Member, bob: Member, operator: User, sign_in: SignIn
) -> None:
    found = asked(dave)
    DeletionRequest.objects.filter(pk=found.pk).update(
        alerted_at=timezone.now(), requested_at=timezone.now() - timedelta(hours=49)
    )
    told = "1 deletion request is nearly due"
    assert told in sign_in(erin).get("/console/t/acme/usage/").content.decode()
    assert told in sign_in(operator).get("/console/usage/").content.decode()
    assert told not in sign_in(bob).get("/console/t/acme/usage/").content.decode()
