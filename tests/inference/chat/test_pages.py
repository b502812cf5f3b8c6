"""The pages of the chat: each person gets their own conversations and nobody else's."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.retention import legal_hold
from inference.chat import conversations, exchanges
from inference.chat.conversations import title_of
from inference.chat.protocol import Send
from inference.engines import forget
from inference.models import Conversation
from tenants import model_access
from tenants.models import Member, Tenant, User
from tenants.roles import Profile, Role
from tests.inference.chat.test_answers import answer, ask
from tests.people import join

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex() -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example")


@pytest.fixture
def secret(bob: Member) -> Conversation:
    return conversations.start(bob, "mock", "a secret")


def sign_in(member: Member) -> Client:
    client = Client()
    client.force_login(member.user, BACKEND)
    return client


def page_data(answer: Any) -> Any:
    return answer.context["data"]


def test_nobody_is_sent_to_sign_in() -> None:
    answer = Client().get("/chat/")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/chat/")


def test_ones_own_conversation(bob: Member, secret: Conversation) -> None:
    answer = sign_in(bob).get(f"/chat/c/{secret.id}/")
    assert answer.status_code == 200
    assert page_data(answer)["opened"]["conversation"]["title"] == "a secret"
    assert "no-store" in answer["Cache-Control"]
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("profile", "readers"), [(Profile.ASVS, "Owner, Auditor"), (Profile.MLPS, "Auditor")]
)
def test_who_else_can_read_is_told(
    acme: Tenant, bob: Member, profile: Profile, readers: str
) -> None:
    acme.profile = profile
    acme.save()
    page = sign_in(bob).get("/chat/").content.decode()
    assert f"even after you have deleted a conversation: {readers}." in page
    assert "Only you" not in page


@pytest.mark.parametrize(
    ("engines", "local_only", "restricted", "said"),
    [
        ({}, False, [], "No model is served yet."),
        ({"near": {"capabilities": {"text": False}}}, False, [], "No model is served yet."),
        ({"far": {"hosted": True}}, True, [], "only models that run on this installation"),
        ({"near": {}, "other": {}}, False, ["near", "other"], "All models here are restricted"),
        ({"near": {}, "far": {"hosted": True}}, True, ["near"], "All models here are restricted"),
    ],
)
def test_why_there_is_no_model_to_choose(
    bob: Member,
    settings: Settings,
    engines: dict[str, Any],
    local_only: bool,
    restricted: list[str],
    said: str,
) -> None:
    endpoint = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {name: {**endpoint, **entry} for name, entry in engines.items()}
    forget()
    Tenant.objects.update(local_only=local_only)
    for name in restricted:
        model_access.restrict(bob.tenant, name, by="test")
    answer = sign_in(bob).get("/chat/")
    forget()
    assert page_data(answer)["models"] == []
    texts = ("No model is served yet.", "only models that run", "All models here are restricted")
    assert [text for text in texts if text in answer.content.decode()] == [
        text for text in texts if text in said
    ]


def test_every_address_of_a_strangers_conversation_is_404(
    acme: Tenant, globex: Tenant, secret: Conversation
) -> None:
    strangers = [
        join(acme, "alice@acme.example", Role.OWNER),
        join(globex, "charlie@globex.example"),
    ]
    for stranger in strangers:
        client = sign_in(stranger)
        for conversation in (secret.id, uuid4()):
            for address in ("", "messages/"):
                assert client.get(f"/chat/c/{conversation}/{address}").status_code == 404
            for address in ("title/", "deletion/"):
                url = f"/chat/c/{conversation}/{address}"
                assert client.post(url, {"title": "mine"}).status_code == 404
        listed = client.get("/chat/conversations/").json()
        assert listed == {"conversations": [], "more": False, "pinned": [], "folders": []}
    assert title_of(Conversation.objects.get()) == "a secret"


def test_scripts_are_told_that_the_session_is_over(secret: Conversation) -> None:
    client = Client()
    assert client.get("/chat/conversations/").status_code == 401
    assert client.get(f"/chat/c/{secret.id}/messages/").status_code == 401
    assert client.post(f"/chat/c/{secret.id}/deletion/").status_code == 401
    assert Conversation.objects.exists()


def test_changes_need_the_token(bob: Member, secret: Conversation) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob.user, BACKEND)
    for address in ("title/", "deletion/", "branch/", "fork/"):
        assert client.post(f"/chat/c/{secret.id}/{address}", {"title": "x"}).status_code == 403
        assert client.get(f"/chat/c/{secret.id}/{address}").status_code == 405
    assert title_of(Conversation.objects.get()) == "a secret"


@pytest.mark.parametrize("address", ["branch/", "fork/"])
def test_messages_of_others_are_as_unknown_as_ones_that_do_not_exist(
    bob: Member, globex: Tenant, secret: Conversation, address: str
) -> None:
    question = ask(bob, "q", secret).question
    other = ask(bob, "other").question
    charlie = join(globex, "charlie@globex.example")
    for who, conversation, message in (
        (charlie, secret.id, question.id),
        (charlie, uuid4(), uuid4()),
        (bob, secret.id, other.id),
        (bob, secret.id, uuid4()),
        (bob, secret.id, "x"),
    ):
        answer = sign_in(who).post(f"/chat/c/{conversation}/{address}", {"message": message})
        assert answer.status_code == 404
    assert Conversation.objects.count() == 2


def test_a_branch_is_chosen_and_copied(bob: Member, secret: Conversation) -> None:
    first = ask(bob, "first", secret)
    answer(bob, first, "1")
    edited = Send("second", "mock", uuid4(), secret.id, edits=first.question.id)
    exchanges.put(bob, edited, uuid4())
    client, address = sign_in(bob), f"/chat/c/{secret.id}/"
    shown = client.post(f"{address}branch/", {"message": first.answer.id}).json()["messages"]
    assert [turn["text"] for turn in shown] == ["first", "1"]
    assert client.get(f"{address}messages/").json()["messages"] == shown
    copy = client.post(f"{address}fork/", {"message": first.answer.id}).json()
    copied = client.get(f"{copy['url']}messages/").json()["messages"]
    assert [turn["text"] for turn in copied] == ["first", "1"]
    assert not {turn["id"] for turn in copied} & {turn["id"] for turn in shown}


def test_what_a_legal_hold_keeps_is_not_deleted(bob: Member, secret: Conversation) -> None:
    ends = timezone.now() + timedelta(days=9)
    hold = legal_hold.request(
        bob.tenant_id, by="user:8", reason="case", expires_at=ends, subject_id=bob.subject_id
    )
    client, address = sign_in(bob), f"/chat/c/{secret.id}/deletion/"
    answer = client.post(address)
    assert (answer.status_code, answer.json()["code"]) == (409, "on_hold")
    assert "legal hold" in answer.json()["text"]
    assert title_of(Conversation.objects.get()) == "a secret"
    for person in ("user:8", "user:9"):
        legal_hold.release(hold, by=person, reason="closed")
    assert client.post(address).status_code == 204
    assert not Conversation.objects.exists()


def test_an_empty_title_is_refused(bob: Member, secret: Conversation) -> None:
    answer = sign_in(bob).post(f"/chat/c/{secret.id}/title/", {"title": "  "})
    assert answer.status_code == 400


@pytest.mark.parametrize("role", [None, Role.AUDITOR])
def test_who_may_not_chat_gets_a_clear_page(acme: Tenant, role: Role | None) -> None:
    user = User.objects.create_user("carol@acme.example")
    if role:
        acme.add_member(user, role, by="test")
    client = Client()
    client.force_login(user, BACKEND)
    answer = client.get("/chat/")
    assert answer.status_code == 403
    assert "You cannot chat yet" in answer.content.decode()
    assert client.get("/chat/conversations/").status_code == 404


def test_a_member_of_two_tenants_chooses(bob: Member, globex: Tenant) -> None:
    join(globex, "bob@acme.example")
    client = sign_in(bob)
    assert page_data(client.get("/chat/"))["tenant"] == "acme"
    assert page_data(client.get("/chat/?tenant=globex"))["tenant"] == "globex"
    assert page_data(client.get("/chat/"))["tenant"] == "globex"  # where they were last
    assert client.get("/chat/?tenant=initech").status_code == 404


def test_a_conversation_brings_its_tenant(
    bob: Member, globex: Tenant, secret: Conversation
) -> None:
    join(globex, "bob@acme.example")
    client = sign_in(bob)
    client.get("/chat/?tenant=globex")
    opened = page_data(client.get(f"/chat/c/{secret.id}/"))
    assert opened["tenant"] == "acme"


def test_who_lost_the_right_to_chat_has_no_way_in(bob: Member, secret: Conversation) -> None:
    client = sign_in(bob)
    Member.objects.filter(pk=bob.pk).update(role=Role.AUDITOR)
    assert client.get(f"/chat/c/{secret.id}/").status_code == 404
    assert client.get(f"/chat/c/{secret.id}/messages/").status_code == 404
