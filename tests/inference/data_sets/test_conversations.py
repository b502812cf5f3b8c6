"""Recorded conversations become a data set: only where the tenant allows it, with a reason."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.actions import Action
from audit.erasure import deletion, execution
from audit.keys.keyring import keyring
from audit.models import DeletionMode, Event, Payload
from audit.search import texts as texts_on_record
from inference.chat import conversations as chats
from inference.chat.conversations import message_aad
from inference.data_sets import conversations, selecting
from inference.data_sets.conversations import Selection, answer_text
from inference.models import Author, ConversationUse, DataSet, DataSetState, Message
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.audit.subjects import Subject, a_key, a_member, asked
from tests.inference.data_sets.conftest import BY, imported, texts
from tests.unguarded import unguarded

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def allowed(acme: Tenant) -> None:
    with tenant_scope(acme.pk):
        ConversationUse.of(acme).change(allowed=True, reason="works agreement 7", by=BY)


def all_of_today(*origins: str, model: str = "") -> Selection:
    now, hour = timezone.now(), timedelta(hours=1)
    return Selection(origins or ("chats", "requests"), now - hour, now + hour, model)


def selected(data_set: DataSet, selection: Selection) -> list[str]:
    with tenant_scope(data_set.tenant_id):
        version = selecting.select(data_set, selection, by=BY, reason="to train")
    return texts(imported(version))


def chatted(subject: Subject) -> None:
    """A chat whose last answer is that of a recorded request."""
    assert subject.member
    order = asked(subject)
    conversation = chats.start(subject.member, "mock", subject.word)
    cipher = keyring.of_subject_now(*subject.who)
    message = Message(
        id=uuid4(),
        tenant_id=subject.tenant.id,
        conversation=conversation,
        author=Author.ASSISTANT,
        completion_id=order.id,
        data_key_id=cipher.key_id,
        created_at=timezone.now(),
    )
    message.ciphertext = cipher.encrypt(b"an answer", message_aad(message))
    message.save(force_insert=True)


def test_chats_and_requests_become_rows_of_their_people(manual: DataSet, allowed: None) -> None:
    alice, robot = a_member(manual.tenant, "ann", texts=0), a_key(manual.tenant)
    chatted(alice)
    rows = selected(manual, all_of_today())
    assert rows == [
        f"user: {who.word}\n\nassistant: an answer to {who.word}" for who in (alice, robot)
    ]
    people = manual.versions.get().people.values_list("subject_id", flat=True)
    assert set(people) == {alice.id, robot.id}


def test_a_choice_of_origin_model_and_period(manual: DataSet, allowed: None) -> None:
    alice, robot = a_member(manual.tenant, "ann", texts=0), a_key(manual.tenant)
    chatted(alice)
    assert [alice.word in row for row in selected(manual, all_of_today("chats"))] == [True]
    assert [robot.word in row for row in selected(manual, all_of_today("requests"))] == [True]
    assert selected(manual, all_of_today(model="another")) == []
    then = timezone.now() - timedelta(days=3)
    past = Selection(("chats", "requests"), then, then + timedelta(days=1))
    assert selected(manual, past) == []
    assert manual.versions.get(number=4).problem == "no_rows"


def test_another_tenants_conversations_are_not_in_it(
    manual: DataSet, globex: Tenant, allowed: None
) -> None:
    charlie = a_key(globex, "charlie")
    a_key(manual.tenant)
    rows = selected(manual, all_of_today())
    assert len(rows) == 1
    assert charlie.word not in str(rows)


@pytest.mark.parametrize("mode", [DeletionMode.ERASE, DeletionMode.RESTRICT])
def test_people_who_are_erased_or_restricted_are_left_out(
    manual: DataSet, allowed: None, mode: DeletionMode
) -> None:
    robot, other = a_key(manual.tenant), a_key(manual.tenant, "other")
    deletion.ask(*robot.who, by="member:1", decides=True, mode=mode)
    execution.work()
    rows = selected(manual, all_of_today())
    assert [other.word in row for row in rows] == [True]


def test_without_the_tenants_leave_nothing_is_taken(manual: DataSet) -> None:
    a_key(manual.tenant)
    with pytest.raises(selecting.NotAllowed):
        selected(manual, all_of_today())
    assert not manual.versions.exists()


def test_leave_that_is_withdrawn_stops_what_waits(manual: DataSet, allowed: None) -> None:
    a_key(manual.tenant)
    with tenant_scope(manual.tenant_id):
        version = selecting.select(manual, all_of_today(), by=BY, reason="to train")
        ConversationUse.of(manual.tenant).change(allowed=False, reason="they objected", by=BY)
    version = imported(version)
    assert (version.state, version.problem) == (DataSetState.FAILED, "not_allowed")


def test_leave_and_selection_are_on_record_with_their_reasons(
    manual: DataSet, allowed: None
) -> None:
    a_key(manual.tenant)
    selected(manual, all_of_today())
    leave = Event.objects.get(action=Action.DATA_SET_POLICY).detail
    read = Event.objects.get(action=Action.DATA_SET_READ).detail
    assert (leave["allowed"], leave["reason"]) == (True, "works agreement 7")
    assert (read["reason"], read["selection"]["origins"]) == ("to train", ["chats", "requests"])


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_without_a_reason_nothing_is_selected(manual: DataSet, allowed: None, reason: str) -> None:
    with pytest.raises(ValidationError):
        selecting.select(manual, all_of_today(), by=BY, reason=reason)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (b"plain", "plain"),
        (b'{"choices": [{"message": {"content": "from JSON"}}]}', "from JSON"),
        (b'{"choices": [{"message": {"content": null}}]}', ""),
        (b'{"dam": 7}', '{"dam": 7}'),
        (b"<think>\nhm\n</think>\n\nafter it", "after it"),
    ],
)
def test_words_of_a_stored_answer(stored: bytes, words: str) -> None:
    assert answer_text(stored) == words


def test_long_texts_are_read_one_by_one_and_what_gives_no_row_shows_that_the_reader_lives(
    manual: DataSet, allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts_on_record, "PORTION", 1)
    for name in ("robot", "other"):
        a_key(manual.tenant, name)
    with unguarded():
        Payload.objects.filter(field="response").delete()
    sizes = list[int]()

    def passed(portion: list[UUID]) -> list[UUID]:
        sizes.append(len(portion))
        return portion

    assert list(conversations.rows(manual.tenant_id, all_of_today("requests"), passed)) == []
    assert sizes == [1, 1]
