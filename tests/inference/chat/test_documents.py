"""Exports, shared copies, ratings and temporary chats."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from audit.erasure import erasers
from audit.keys import keyring as keys
from audit.models import Event
from audit.retention import legal_hold
from audit.search import text_search
from inference.chat import conversations
from inference.chat.collection import exporting, rating, sharing, temporary
from inference.chat.collection.markdown import as_markdown
from inference.chat.collection.pdf import as_pdf
from inference.chat.collection.transcript import Entry, Transcript, decoded, frozen
from inference.models import Author, Conversation, ConversationShare, Message, Rating
from inference.personal_data import portability
from inference.tasks import tidy_chats
from inference.usage.ratings import ModelRatings, by_model
from tenants.models import Member, Team, Tenant
from tenants.models.tenant import Sharing, TemporaryChats
from tests.inference.chat.test_search import write
from tests.people import join

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example")


@pytest.fixture
def chat(bob: Member) -> Conversation:
    row = conversations.start(bob, "mock", "Two branches")
    question = write(row, "Which one?")
    answers = [
        write(row, text) for text in ("The first 一.", "The second <b>二</b>.\n```\nx = 1\n```")
    ]
    Message.objects.filter(pk=question.pk).update(is_first=True)
    for answer in answers:
        Message.objects.filter(pk=answer.pk).update(parent=question)
    row.leaf = answers[1]
    row.save()
    return row


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member.user, BACKEND)
    return client


# Export ------------------------------------------------------------------------------------------
def exported(member: Member, chat: Conversation, query: str) -> Any:
    answer = signed_in(member).get(f"/chat/c/{chat.pk}/export/?{query}")
    assert answer.status_code == 200
    return answer


def test_markdown_has_the_shown_branch(bob: Member, chat: Conversation) -> None:
    answer = exported(bob, chat, "form=markdown")
    text = answer.content.decode()
    assert answer["Content-Disposition"] == 'attachment; filename="Two branches.md"'
    assert text.startswith("# Two branches\n")
    assert "Which one?" in text
    assert "The second <b>二</b>." in text
    assert "The first" not in text


def test_json_has_all_branches_if_wanted(bob: Member, chat: Conversation) -> None:
    shown = msgspec.json.decode(exported(bob, chat, "form=json").content)
    whole = msgspec.json.decode(exported(bob, chat, "form=json&branches=all").content)
    assert [len(document["messages"]) for document in (shown, whole)] == [2, 3]
    question, first, _second = whole["messages"]
    assert (first["parent"], whole["shown"][0]) == (question["id"], question["id"])


def test_exports_name_the_files_of_a_question() -> None:
    now = timezone.now()
    entry = Entry(id=uuid4(), author="user", text="Sum up", created_at=now, attachments=["a.pdf"])
    document = Transcript(
        title="t", model="m", created_at=now, exported_at=now, messages=[entry], shown=[entry.id]
    )
    assert "*Attached: a.pdf*\n\nSum up" in as_markdown(document)
    assert as_pdf(document).startswith(b"%PDF-")
    assert decoded(frozen(document)).messages[0].attachments == []


def test_pdf_is_one(bob: Member, chat: Conversation) -> None:
    content = exported(bob, chat, "form=pdf").content
    assert content.startswith(b"%PDF-")
    assert b"STSong-Light" in content


@pytest.mark.django_db(transaction=True)
def test_one_export_of_a_person_is_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PDF file keeps a processor busy for seconds."""
    bob = join(Tenant.open("acme", by="test"), "bob@acme.example")
    chat, client = conversations.start(bob, "mock", "Law"), signed_in(bob)
    monkeypatch.setattr(exporting, "WAIT_S", 0.1)
    began, ends = threading.Event(), threading.Event()

    def holding() -> None:
        with transaction.atomic():
            exporting.export(chat, "json")
            began.set()
            ends.wait(300)
        connection.close()

    other = threading.Thread(target=holding)
    other.start()
    try:
        assert began.wait(30)
        answer = client.get(f"/chat/c/{chat.pk}/export/?form=pdf")
        assert (answer.status_code, answer["Content-Type"]) == (429, "text/plain; charset=utf-8")
        assert "export of yours" in answer.content.decode()
    finally:
        ends.set()
        other.join()
    assert client.get(f"/chat/c/{chat.pk}/export/?form=pdf").status_code == 200


def test_an_export_is_on_record_without_its_text(bob: Member, chat: Conversation) -> None:
    exported(bob, chat, "form=json")
    event = Event.objects.get(action="conversation:export")
    assert event.actor == bob.actor
    assert event.detail == {"conversation": str(chat.pk), "form": "json", "messages": 2}


@pytest.mark.parametrize("path", ["export/", "share/", "messages/{}/rating/"])
def test_strangers_get_404(acme: Tenant, chat: Conversation, path: str) -> None:
    stranger = signed_in(join(acme, "alice@acme.example"))
    address = path.format(chat.messages.all()[0].pk)
    for conversation in (chat.pk, uuid4()):
        url = f"/chat/c/{conversation}/{address}"
        answer = stranger.get(url) if path == "export/" else stranger.post(url, {"rating": "1"})
        assert answer.status_code == 404


# Sharing -----------------------------------------------------------------------------------------
def shared(client: Client, chat: Conversation, audience: str = "members") -> str:
    answer = client.post(f"/chat/c/{chat.pk}/share/", {"audience": audience, "days": "7"})
    assert answer.status_code == 200
    url: str = answer.json()["url"]
    return "/chat/s/" + url.rstrip("/").rpartition("/")[2] + "/"


def test_people_of_the_tenant_see_a_frozen_copy(
    acme: Tenant, bob: Member, chat: Conversation
) -> None:
    url = shared(signed_in(bob), chat)
    write(chat, "a later message")
    answer = signed_in(join(acme, "alice@acme.example")).get(url)
    assert answer.status_code == 200
    texts = [message["text"] for message in answer.context["data"]["messages"]]
    assert texts[0] == "Which one?"
    assert len(texts) == 2
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer["X-Robots-Tag"]
    assert "no-store" in answer["Cache-Control"]
    assert ConversationShare.objects.get().views == 1


def test_others_see_nothing_of_it(bob: Member, chat: Conversation) -> None:
    url = shared(signed_in(bob), chat)
    charlie = signed_in(join(Tenant.open("globex", by="test"), "charlie@globex.example"))
    unknown = "/chat/s/" + "x" * 43 + "/"
    assert [charlie.get(each).status_code for each in (url, unknown)] == [404, 404]
    assert [Client().get(each).status_code for each in (url, unknown)] == [302, 302]
    assert ConversationShare.objects.get().views == 0


def test_a_link_needs_the_tenants_rule_at_each_view(
    acme: Tenant, bob: Member, chat: Conversation
) -> None:
    refused = signed_in(bob).post(f"/chat/c/{chat.pk}/share/", {"audience": "link", "days": "7"})
    assert (refused.status_code, refused.json()["code"]) == (409, "sharing_off")
    acme.change(by="test", chat_sharing=Sharing.LINKS)
    url = shared(signed_in(bob), chat, "link")
    assert Client().get(url).status_code == 200
    acme.change(by="test", chat_sharing=Sharing.MEMBERS)
    assert Client().get(url).status_code == 302
    assert signed_in(bob).get(url).status_code == 200
    acme.change(by="test", chat_sharing=Sharing.NOBODY)
    assert signed_in(bob).get(url).status_code == 404


def test_a_copy_can_be_ended_and_that_is_on_record(bob: Member, chat: Conversation) -> None:
    client = signed_in(bob)
    url = shared(client, chat)
    client.get(url)
    (copy,) = client.get("/chat/shares/").json()
    assert (copy["title"], copy["views"]) == ("Two branches", 1)
    assert client.post(f"/chat/shares/{copy['id']}/deletion/").status_code == 204
    assert client.get(url).status_code == 404
    ended = Event.objects.get(action="conversation:unshare")
    assert ended.detail["views"] == 1


def test_nobody_else_ends_a_copy(acme: Tenant, bob: Member, chat: Conversation) -> None:
    shared(signed_in(bob), chat)
    alice = signed_in(join(acme, "alice@acme.example"))
    copy = ConversationShare.objects.get()
    assert alice.post(f"/chat/shares/{copy.pk}/deletion/").status_code == 404
    assert alice.get("/chat/shares/").json() == []


def test_a_copy_goes_with_its_conversation(bob: Member, chat: Conversation) -> None:
    url = shared(signed_in(bob), chat)
    conversations.delete(chat)
    assert signed_in(bob).get(url).status_code == 404
    assert not ConversationShare.objects.exists()


def test_a_copy_cannot_be_read_without_the_persons_key(
    acme: Tenant, bob: Member, chat: Conversation
) -> None:
    url = shared(signed_in(bob), chat)
    copy = ConversationShare.objects.get()
    assert b"Which one?" not in bytes(copy.ciphertext)
    keys.destroy(acme.pk, bob.subject_id)
    assert signed_in(join(acme, "alice@acme.example")).get(url).status_code == 404


def test_an_erasure_takes_copies(bob: Member, chat: Conversation) -> None:
    shared(signed_in(bob), chat)
    eraser = erasers.find("conversations")
    assert eraser
    eraser.erase(bob.tenant_id, bob.subject_id)
    assert not ConversationShare.objects.exists()


def test_an_expired_copy_is_shut_and_then_deleted(bob: Member, chat: Conversation) -> None:
    url = shared(signed_in(bob), chat)
    ConversationShare.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert signed_in(bob).get(url).status_code == 404
    tidy_chats()
    assert not ConversationShare.objects.exists()


def test_views_of_one_address_are_limited(
    bob: Member, chat: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.chat.requests.shared.MOST_VIEWS", 2)
    clock = [7200.0]
    monkeypatch.setattr("inference.chat.requests.shared.time.time", lambda: clock[0])
    url, client = shared(signed_in(bob), chat), signed_in(bob)
    statuses = []
    for clock[0] in (7200.0, 7220.0, 7250.0, 7259.0, 7261.0):
        statuses.append(client.get(url, REMOTE_ADDR="198.51.100.77").status_code)
    assert statuses == [200, 200, 429, 429, 200]


# Ratings -----------------------------------------------------------------------------------------
@pytest.fixture
def answer(chat: Conversation) -> Message:
    message = chat.branch()[-1]
    Message.objects.filter(pk=message.pk).update(author=Author.ASSISTANT)
    return message


def test_a_rating_has_a_reason_that_is_encrypted(
    bob: Member, chat: Conversation, answer: Message
) -> None:
    url = f"/chat/c/{chat.pk}/messages/{answer.pk}/rating/"
    rated = signed_in(bob).post(url, {"rating": "-1", "reason": "It is wrong."})
    assert rated.json() == {"rating": -1}
    answer.refresh_from_db()
    assert rating.reason_of(answer) == "It is wrong."
    assert b"wrong" not in bytes(answer.rating_ciphertext or b"")
    event = Event.objects.get(action="conversation:rate")
    assert "wrong" not in str(event.detail)
    (row,) = portability._conversations(bob.tenant_id, bob.subject_id)
    assert row["messages"][-1]["rating_reason"] == "It is wrong."


def test_those_who_may_read_texts_read_the_reason(
    bob: Member, chat: Conversation, answer: Message
) -> None:
    request = uuid4()
    Message.objects.filter(pk=answer.pk).update(completion_id=request)
    rating.rate(chat, answer.pk, Rating.BAD, "It is wrong.")
    viewed = text_search.view(bob.tenant_id, request, by="member:1", reason="a check")
    assert [(one.field, one.read and one.read.text) for one in viewed] == [
        ("rating", "It is wrong.")
    ]


def test_a_rating_can_be_taken_back(bob: Member, chat: Conversation, answer: Message) -> None:
    rating.rate(chat, answer.pk, Rating.GOOD, "fine")
    rating.rate(chat, answer.pk, None)
    answer.refresh_from_db()
    assert (answer.rating, answer.rating_ciphertext, answer.rated_at) == (None, None, None)


def test_ratings_are_summed_by_model(bob: Member, chat: Conversation, answer: Message) -> None:
    rating.rate(chat, answer.pk, Rating.BAD)
    now = timezone.now()
    since, until = now - timedelta(hours=1), now + timedelta(hours=1)
    assert by_model(bob.tenant_id, since, until) == [ModelRatings("", good=0, bad=1)]
    assert by_model(bob.tenant_id, until, until + timedelta(hours=1)) == []


def test_only_answers_are_rated(bob: Member, chat: Conversation) -> None:
    url = f"/chat/c/{chat.pk}/messages/{chat.branch()[0].pk}/rating/"
    assert signed_in(bob).post(url, {"rating": "1"}).status_code == 404
    assert signed_in(bob).post(url, {"rating": "5"}).status_code == 400


# Temporary chats ---------------------------------------------------------------------------------
def test_a_temporary_chat_has_no_title_and_is_not_listed(bob: Member) -> None:
    row = conversations.start(bob, "mock", "What is a forebay?", temporary=True)
    assert conversations.title_of(row) == ""
    listing = signed_in(bob).get("/chat/conversations/").json()
    assert listing["conversations"] == listing["pinned"] == []


def test_a_temporary_chat_is_not_shared(bob: Member) -> None:
    row = conversations.start(bob, "mock", "What is a forebay?", temporary=True)
    refused = signed_in(bob).post(f"/chat/c/{row.pk}/share/", {"days": "1"})
    assert refused.json()["code"] == "sharing_off"


def test_those_left_behind_are_deleted_after_an_hour(bob: Member) -> None:
    new, old = (conversations.start(bob, "mock", "x", temporary=True) for _ in range(2))
    lasting = conversations.start(bob, "mock", "x")
    late = timezone.now() - temporary.LIVES - timedelta(minutes=1)
    Conversation.objects.filter(pk__in=[old.pk, lasting.pk]).update(updated_at=late)
    tidy_chats()
    assert set(Conversation.objects.values_list("pk", flat=True)) == {new.pk, lasting.pk}


def test_a_hold_keeps_a_temporary_chat_too(bob: Member) -> None:
    old = conversations.start(bob, "mock", "x", temporary=True)
    Conversation.objects.update(updated_at=timezone.now() - timedelta(hours=2))
    ends = timezone.now() + timedelta(days=9)
    legal_hold.request(bob.tenant_id, by="user:8", reason="case", expires_at=ends)
    assert temporary.delete_left_behind() == 0
    assert Conversation.objects.get() == old


def test_chats_on_hold_delay_no_others(
    acme: Tenant, bob: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "AT_ONCE", 1)
    alice = join(acme, "alice@acme.example")
    held, other = (conversations.start(who, "mock", "x", temporary=True) for who in (alice, bob))
    for hours, row in ((3, held), (2, other)):
        late = timezone.now() - timedelta(hours=hours)
        Conversation.objects.filter(pk=row.pk).update(updated_at=late)
    ends, subject_id = timezone.now() + timedelta(days=9), alice.subject_id
    legal_hold.request(acme.pk, by="user:8", reason="case", expires_at=ends, subject_id=subject_id)
    assert temporary.delete_left_behind() == 1
    assert Conversation.objects.get() == held


@pytest.mark.parametrize(
    ("rule", "wanted", "is_temporary"),
    [
        (TemporaryChats.ALLOWED, True, True),
        (TemporaryChats.ALLOWED, False, False),
        (TemporaryChats.ALWAYS, False, True),
        (TemporaryChats.NEVER, True, False),
    ],
)
def test_the_tenant_decides(
    acme: Tenant, bob: Member, rule: TemporaryChats, wanted: bool, is_temporary: bool
) -> None:
    acme.change(by="test", temporary_chats=rule)
    bob.tenant.refresh_from_db()
    assert temporary.is_temporary(bob, wanted=wanted) == is_temporary


def test_a_team_may_demand_temporary_chats(acme: Tenant, bob: Member) -> None:
    team = Team.form(acme, "law", by="test")
    team.change(by="test", temporary_chats=True)
    assert not temporary.is_temporary(bob, wanted=False)
    team.add(bob, by="test")
    assert temporary.is_temporary(bob, wanted=False)
    assert sharing.audiences(acme.chat_sharing)
