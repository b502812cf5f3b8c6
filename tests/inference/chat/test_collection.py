"""Pins, archive, folders and deletion of several: each person organises their own list alone."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from audit.erasure import erasers
from audit.models import Event
from audit.retention import legal_hold
from inference.chat import conversations
from inference.chat.collection import folders
from inference.models import Conversation, ConversationFolder
from infrastructure.postgres.queries import value
from tenants.models import Member, Tenant
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
def client(bob: Member) -> Client:
    return signed_in(bob)


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member.user, BACKEND)
    return client


def titles(client: Client, part: str = "conversations", **query: str) -> list[str]:
    listing = client.get("/chat/conversations/", query).json()
    return [row["title"] for row in listing[part]]


def test_a_pinned_conversation_stands_apart(bob: Member, client: Client) -> None:
    one, _two = (conversations.start(bob, "mock", text) for text in ("one", "two"))
    assert client.post(f"/chat/c/{one.pk}/pin/", {"on": "yes"}).json()["pinned"]
    assert (titles(client, "pinned"), titles(client)) == (["one"], ["two"])
    client.post(f"/chat/c/{one.pk}/pin/", {"on": ""})
    assert (titles(client, "pinned"), titles(client)) == ([], ["two", "one"])


def test_an_archived_conversation_is_listed_in_the_archive_alone(
    bob: Member, client: Client
) -> None:
    one = conversations.start(bob, "mock", "one")
    client.post(f"/chat/c/{one.pk}/pin/", {"on": "yes"})
    client.post(f"/chat/c/{one.pk}/archive/", {"on": "yes"})
    assert titles(client) == titles(client, "pinned") == []
    assert titles(client, archived="yes") == ["one"]
    assert client.get(f"/chat/c/{one.pk}/messages/").status_code == 200
    client.post(f"/chat/c/{one.pk}/archive/", {"on": ""})
    assert titles(client) == ["one"]


def test_a_folder_has_a_name_that_is_encrypted(bob: Member, client: Client) -> None:
    folder = client.post("/chat/folders/", {"name": " Tax \n 2026 "}).json()
    row = ConversationFolder.objects.get(pk=folder["id"])
    assert folder["name"] == folders.name_of(row) == "Tax 2026"
    assert b"Tax" not in bytes(row.name_ciphertext)
    renamed = client.post(f"/chat/folders/{row.pk}/name/", {"name": "Law"}).json()
    assert client.get("/chat/folders/").json() == [renamed]
    assert renamed["name"] == "Law"


def test_a_folder_lists_its_conversations_and_leaves_them_when_it_goes(
    bob: Member, client: Client
) -> None:
    one, _two = (conversations.start(bob, "mock", text) for text in ("one", "two"))
    folder = client.post("/chat/folders/", {"name": "Tax"}).json()["id"]
    client.post(f"/chat/c/{one.pk}/folder/", {"folder": folder})
    assert titles(client, folder=folder) == ["one"]
    assert titles(client) == ["two", "one"]
    client.post(f"/chat/folders/{folder}/deletion/")
    assert client.get("/chat/folders/").json() == []
    assert Conversation.objects.get(pk=one.pk).folder is None


def test_a_folder_of_another_member_is_not_there(acme: Tenant, bob: Member, client: Client) -> None:
    one = conversations.start(bob, "mock", "one")
    theirs = folders.create(join(acme, "alice@acme.example"), "private")
    answers = [
        client.post(f"/chat/c/{one.pk}/folder/", {"folder": str(theirs.pk)}),
        client.post(f"/chat/folders/{theirs.pk}/name/", {"name": "mine"}),
        client.post(f"/chat/folders/{theirs.pk}/deletion/"),
        client.post(f"/chat/folders/{uuid4()}/deletion/"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert folders.name_of(ConversationFolder.objects.get()) == "private"


def test_strangers_change_nothing(acme: Tenant, bob: Member) -> None:
    one = conversations.start(bob, "mock", "one")
    stranger = signed_in(join(acme, "alice@acme.example"))
    for act in ("pin", "archive", "folder"):
        assert stranger.post(f"/chat/c/{one.pk}/{act}/", {"on": "yes"}).status_code == 404
    report = stranger.post("/chat/deletions/", {"conversation": [str(one.pk)]}).json()
    assert report == {"deleted": [], "not_deleted": []}
    assert Conversation.objects.filter(pinned_at=None, archived_at=None).count() == 1


def test_deleting_several_is_recorded_for_each(bob: Member, client: Client) -> None:
    rows = [conversations.start(bob, "mock", text) for text in ("one", "two", "three")]
    ids = [str(row.pk) for row in rows[:2]]
    report = client.post("/chat/deletions/", {"conversation": ids}).json()
    assert sorted(report["deleted"]) == sorted(ids)
    assert titles(client) == ["three"]
    assert Event.objects.filter(action="conversation:delete").count() == 2


def test_a_hold_keeps_each_of_several_and_says_so(bob: Member, client: Client) -> None:
    one, ends = conversations.start(bob, "mock", "one"), timezone.now() + timedelta(days=9)
    legal_hold.request(bob.tenant_id, by="user:8", reason="case", expires_at=ends)
    report: Any = client.post("/chat/deletions/", {"conversation": [str(one.pk)]}).json()
    assert report["deleted"] == []
    (row,) = report["not_deleted"]
    assert (row["title"], row["problem"]["code"]) == ("one", "on_hold")
    assert Conversation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_question_that_is_being_stored_is_deleted_too() -> None:
    bob = join(Tenant.open("acme", by="test"), "bob@acme.example")
    one = conversations.start(bob, "mock", "one")
    locked, goes_on, counts = threading.Event(), threading.Event(), list[int]()

    def store() -> None:
        with transaction.atomic():
            write(Conversation.objects.select_for_update().get(pk=one.pk), "and this?")
            locked.set()
            goes_on.wait(300)

    def delete() -> None:
        conversations.delete(one, lambda row: counts.append(row.messages.count()))

    with ThreadPoolExecutor(2) as threads:
        storing = threads.submit(clean, store)
        assert locked.wait(300)
        deleting = threads.submit(clean, delete)
        wait_for_lock()
        goes_on.set()
        storing.result(300)
        deleting.result(300)
    assert counts == [1]
    assert not Conversation.objects.exists()
    assert not conversations.delete(Conversation(pk=uuid4(), tenant_id=bob.tenant_id, member=bob))
    assert Event.objects.filter(action="conversation:delete").count() == 1


def clean(work: Callable[[], None]) -> None:
    try:
        work()
    finally:
        connection.close()


def wait_for_lock() -> None:
    """Returns once a statement waits for another transaction's row."""
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = %s"
    for _look in range(3000):
        if value(waits, [connection.settings_dict["NAME"]]):
            return
        time.sleep(0.1)
    raise AssertionError("nothing waits")


def test_too_many_folders_are_refused(
    bob: Member, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST", 1)
    client.post("/chat/folders/", {"name": "one"})
    refused = client.post("/chat/folders/", {"name": "two"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_folders")


def test_an_erasure_takes_folders_too(bob: Member) -> None:
    folders.create(bob, "Tax")
    eraser = erasers.find("conversations")
    assert eraser
    assert eraser.erase(bob.tenant_id, bob.subject_id)["folders"] == 1
    assert eraser.verify(bob.tenant_id, bob.subject_id) == 0


@pytest.mark.parametrize("query", [{"folder": "x"}, {"before": "2026-13-01T00:00"}])
def test_a_list_is_read_with_sense(client: Client, query: dict[str, str]) -> None:
    assert client.get("/chat/conversations/", query).status_code == 400
