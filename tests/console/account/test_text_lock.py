"""A link that somebody else has made sets a password, and opens nothing that was there before."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client

from audit.actions import Action
from audit.exports import export_file, portability
from audit.models import Event, Export
from inference.chat import exchanges, history
from inference.chat.problems import ChatRefused
from inference.chat.protocol import Send
from inference.chat.socket.stopping import own_answer
from inference.models import Conversation
from tenants.accounts import text_lock
from tenants.models import ApiKey, Member, TextLock, User
from tenants.roles import Permission, Role
from tests.console.account.conftest import code, try_password, with_app
from tests.console.account.written_texts import SECRET, wrote
from tests.console.conftest import SignIn, prove

pytestmark = pytest.mark.django_db
NEW = "another river, another dam"
FORM = {"password": NEW, "again": NEW}
MEMBERS = "/console/t/acme/members/"
LOCKED = "Your older texts are locked."


@pytest.fixture
def chat(bob: Member) -> exchanges.Exchange:
    """What bob has written."""
    return wrote(bob)


@pytest.fixture
def made_by(sign_in: SignIn) -> Callable[[Member | User, Member], str]:
    """The path of a reset link that somebody makes for somebody, in the console."""

    def make(maker: Member | User, whose: Member) -> str:
        answer = sign_in(maker).post(f"{MEMBERS}{whose.pk}/reset-link/")
        assert answer.status_code == 200, answer
        return str(urlsplit(answer.context["link"]).path)

    return make


@pytest.fixture
def taken_over(
    erin: Member, bob: Member, chat: exchanges.Exchange, made_by: Callable[..., str]
) -> Client:
    """The administrator uses the link that she has made for bob, and is signed in as bob."""
    thief, link = Client(), made_by(erin, bob)
    assert thief.post(link, FORM)["Location"] == "/"
    prove(thief, bob.user)
    assert thief.get("/account/").status_code == 200
    return thief


# The story ----------------------------------------------------------------------------------------
def test_whoever_uses_the_link_reads_no_older_chat(
    taken_over: Client, chat: exchanges.Exchange
) -> None:
    listed = taken_over.get("/chat/conversations/?tenant=acme").json()
    assert listed["conversations"] == []
    page = taken_over.get("/chat/").content.decode()
    assert SECRET not in page
    assert LOCKED in page
    where = f"/chat/c/{chat.conversation.pk}/"
    assert taken_over.get(where)["Location"] == "/chat/"
    assert taken_over.get(f"{where}messages/").status_code == 404
    assert taken_over.post(f"{where}title/", {"title": "x"}).status_code == 404
    assert taken_over.post(f"{where}deletion/").status_code == 404
    assert Conversation.objects.filter(pk=chat.conversation.pk).exists()


def test_nor_over_the_socket(taken_over: Client, bob: Member, chat: exchanges.Exchange) -> None:
    """What the socket calls for a page that goes on with it, follows it or sends it again."""
    onward = Send(text="again?", model="mock", message=uuid4(), conversation=chat.conversation.pk)
    with pytest.raises(ChatRefused):
        history.inquiry(bob, onward)
    with pytest.raises(ChatRefused):
        exchanges.put(bob, onward, uuid4())
    with pytest.raises(ChatRefused):
        own_answer(bob, chat.answer.pk)
    assert exchanges.existing_exchange(bob, Send("again", "mock", chat.question.pk)) is None


def test_nor_takes_the_data_along(
    taken_over: Client, bob: Member, settings: Any, tmp_path: Any
) -> None:
    taken_over.post(f"/account/data/{bob.pk}/export/")
    assert not Export.objects.exists()
    before = portability.ask(bob.tenant_id, bob.subject_id, by=bob.actor)
    portability.work()
    before.refresh_from_db()
    assert before.state == export_file.READY
    page = taken_over.get("/account/data/").content.decode()
    assert LOCKED in page
    assert "Create an export" not in page
    answer = taken_over.post(f"/account/data/{bob.pk}/export/{before.pk}/", follow=True)
    assert answer["Content-Type"].startswith("text/html")
    assert "This page says why" in answer.content.decode()
    assert not Event.objects.filter(
        action=Action.SUBJECT_EXPORT, detail__has_key="download"
    ).exists()


def test_what_is_written_from_then_on_is_open(taken_over: Client, bob: Member) -> None:
    later = wrote(bob)
    (listed,) = taken_over.get("/chat/conversations/?tenant=acme").json()["conversations"]
    assert listed["id"] == str(later.conversation.pk)
    assert own_answer(bob, later.answer.pk) == later.answer


def test_it_is_on_record_as_what_it_is(taken_over: Client, erin: Member, bob: Member) -> None:
    made = Event.objects.get(action=Action.LINK_CREATE)
    assert (made.actor, made.subject_id) == (erin.actor, bob.subject_id)
    assert made.detail == {"purpose": "reset", "member": str(bob.pk)}
    used = Event.objects.get(action=Action.LINK_USE)
    assert used.detail == {"link_by": erin.actor}
    locked = Event.objects.get(action=Action.TEXTS_LOCK)
    assert (locked.subject_id, locked.detail) == (bob.subject_id, {"link_by": erin.actor})
    assert locked.tenant_id == bob.tenant_id


def test_the_pages_say_so_beforehand(
    erin: Member, bob: Member, made_by: Callable[..., str], sign_in: SignIn
) -> None:
    page = sign_in(erin).get(f"{MEMBERS}{bob.pk}/").content.decode()
    assert "Anyone who has the link can sign in as this person." in page
    link = made_by(erin, bob)
    assert "Somebody else created this link" in Client().get(link).content.decode()


# A second factor ----------------------------------------------------------------------------------
def test_a_second_factor_from_before_opens_it(
    erin: Member, bob: Member, chat: exchanges.Exchange, made_by: Callable[..., str]
) -> None:
    with_app(bob.user)
    client, link = Client(), made_by(erin, bob)
    assert client.post(link, FORM)["Location"] == "/login/second-factor/"
    assert TextLock.objects.exists()
    client.post("/login/second-factor/", {"code": code()})
    assert not TextLock.objects.exists()
    (listed,) = client.get("/chat/conversations/?tenant=acme").json()["conversations"]
    assert listed["id"] == str(chat.conversation.pk)
    event = Event.objects.get(action=Action.TEXTS_RELEASE)
    assert (event.actor, event.detail) == (bob.actor, {"how": "second factor"})


def test_one_that_was_added_since_does_not(taken_over: Client, bob: Member) -> None:
    with_app(bob.user)
    again = Client()
    try_password(again, bob.user.email, NEW)
    again.post("/login/second-factor/", {"code": code()})
    assert again.get("/account/").status_code == 200
    assert again.get("/chat/conversations/?tenant=acme").json()["conversations"] == []


def test_nor_after_a_second_link(
    taken_over: Client, alice: Member, bob: Member, made_by: Callable[..., str]
) -> None:
    """The factor is older than the second link, and younger than the first."""
    with_app(bob.user)
    again = Client()
    third = "a third river, a third dam"
    again.post(made_by(alice, bob), {"password": third, "again": third})
    again.post("/login/second-factor/", {"code": code()})
    assert again.get("/account/").status_code == 200
    assert again.get("/chat/conversations/?tenant=acme").json()["conversations"] == []
    assert len(TextLock.objects.get().made_by) == 2


# Operators ----------------------------------------------------------------------------------------
def released(client: Client, member: Member) -> str:
    answer = client.post(f"{MEMBERS}{member.pk}/texts/release/", follow=True)
    return str(answer.content.decode())


def test_an_operator_releases_it(
    taken_over: Client, erin: Member, bob: Member, operator: User, sign_in: SignIn
) -> None:
    page = sign_in(operator).get(f"{MEMBERS}{bob.pk}/").content.decode()
    assert "Unlock older texts" in page
    assert "erin@acme.example" in page
    assert "are unlocked" in released(sign_in(operator), bob)
    assert taken_over.get("/chat/conversations/?tenant=acme").status_code == 401, "it ended"
    again = Client()
    try_password(again, bob.user.email, NEW)
    assert len(again.get("/chat/conversations/?tenant=acme").json()["conversations"]) == 1
    event = Event.objects.get(action=Action.TEXTS_RELEASE)
    assert (event.actor, event.subject_id) == (operator.actor, bob.subject_id)


def test_nobody_else_does(
    taken_over: Client, alice: Member, erin: Member, bob: Member, sign_in: SignIn
) -> None:
    for who in (alice, erin, Member.objects.get(pk=bob.pk)):
        assert sign_in(who).post(f"{MEMBERS}{bob.pk}/texts/release/").status_code == 403
    assert "Unlock older texts" not in sign_in(alice).get(f"{MEMBERS}{bob.pk}/").content.decode()
    assert TextLock.objects.exists()


def test_an_operator_does_not_release_what_their_own_link_locked(
    bob: Member,
    chat: exchanges.Exchange,
    operator: User,
    made_by: Callable[..., str],
    sign_in: SignIn,
) -> None:
    Client().post(made_by(operator, bob), FORM)
    assert "Ask another operator to unlock" in released(sign_in(operator), bob)
    other = User.objects.create_user("op2@forebay.example", is_operator=True)
    assert "are unlocked" in released(sign_in(other), bob)


def test_a_command_releases_it(taken_over: Client, bob: Member, capsys: Any) -> None:
    call_command("release_texts", bob.user.email)
    assert "is open again" in capsys.readouterr().out
    assert not TextLock.objects.exists()
    call_command("release_texts", bob.user.email)
    assert "was not locked" in capsys.readouterr().out


def test_a_commands_link_locks_too(bob: Member, chat: exchanges.Exchange, capsys: Any) -> None:
    call_command("reset_password", bob.user.email)
    Client().post(urlsplit(capsys.readouterr().out.split()[-1]).path, FORM)
    assert TextLock.objects.get().made_by == ["command:reset_password"]


# What else the account opens ----------------------------------------------------------------------
def test_an_owners_account_reads_nobodys_prompts_and_makes_no_auditor(
    alice: Member, operator: User, made_by: Callable[..., str], sign_in: SignIn
) -> None:
    Client().post(made_by(operator, alice), FORM)
    taken = Member.objects.get(pk=alice.pk)
    assert Permission.VIEW_PROMPTS not in taken.permissions
    assert not taken.may_give(Role.AUDITOR)
    assert taken.may_give(Role.DEVELOPER)
    client = sign_in(taken)
    assert client.get("/console/t/acme/audit/texts/").status_code == 403
    places = client.get("/api/v1/me/").json()["tenants"]
    assert "prompts:view" not in places[0]["permissions"]
    text_lock.release(alice.user, by="test")
    assert Permission.VIEW_PROMPTS in Member.objects.get(pk=alice.pk).permissions


def test_a_key_that_is_rotated_meanwhile_does_not_read_what_the_old_one_asked_for(
    taken_over: Client, bob: Member
) -> None:
    key, _text = ApiKey.issue(bob.tenant, "ci", by=bob.actor, created_by=bob)
    assert text_lock.of_key(key.pk)
    text_lock.release(bob.user, by="test")
    assert not text_lock.of_key(key.pk)


def test_a_link_of_ones_own_locks_nothing(
    alice: Member, made_by: Callable[..., str], sign_in: SignIn
) -> None:
    link = made_by(alice, alice)
    assert "Somebody else created this link" not in Client().get(link).content.decode()
    Client().post(link, FORM)
    assert not TextLock.objects.exists()
