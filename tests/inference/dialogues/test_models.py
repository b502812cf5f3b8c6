"""Dialogues and widget keys as rows: texts under the person's key, one open turn, their erasure."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.actions import Action
from audit.keys import keyring as keys
from audit.keys.keyring import Unreadable
from audit.models import Event
from audit.retention import data_classes
from inference.models import (
    Channel,
    Dialogue,
    DialogueMessage,
    DialogueStatus,
    DialogueTurn,
    Role,
    WidgetKey,
)
from inference.models.assistants.dialogue import Content, Source
from inference.personal_data import dialogues as personal_data
from tenants.models import ApiKey, Person, Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "shop", by="test")[0]


def a_person(tenant: Tenant) -> Person:
    return Person.objects.of(tenant.pk, f"customer {uuid4()}")


def a_dialogue(tenant: Tenant, person: Person, **fields: Any) -> Dialogue:
    return Dialogue.objects.create(
        tenant=tenant,
        person=person,
        assistant_id=uuid4(),
        version=1,
        channel=Channel.API,
        language="en",
        **fields,
    )


def test_texts_are_readable_until_the_persons_key_is_destroyed(acme: Tenant) -> None:
    person = a_person(acme)
    dialogue = a_dialogue(acme, person)
    content = Content(["Send it ", "back."], [Source("p1", "Returns", "https://acme.example")])
    with transaction.atomic():
        message = dialogue.add(Role.ASSISTANT, content)
    dialogue.encrypt_state(b'{"intent":"returns"}')
    dialogue.save()
    assert b"Send" not in bytes(message.ciphertext)
    assert DialogueMessage.objects.get().content == content
    assert content.text == "Send it back."
    assert Dialogue.objects.get().state == b'{"intent":"returns"}'
    keys.destroy(acme.pk, person.pk)
    with pytest.raises(Unreadable):
        _ = DialogueMessage.objects.get().content


def test_a_text_cannot_be_read_in_another_dialogue(acme: Tenant) -> None:
    person = a_person(acme)
    first, second = a_dialogue(acme, person), a_dialogue(acme, person)
    message = first.add(Role.PERSON, Content(["my number is 5"]))
    DialogueMessage.objects.filter(pk=message.pk).update(dialogue=second)
    with pytest.raises(Unreadable):
        _ = DialogueMessage.objects.get(pk=message.pk).content


def test_messages_are_numbered_and_a_clients_id_counts_once(acme: Tenant) -> None:
    dialogue, client_id = a_dialogue(acme, a_person(acme)), uuid4()
    numbers = [dialogue.add(Role.PERSON, Content(["hi"])).number for _ in range(2)]
    assert numbers == [1, 2]
    dialogue.add(Role.PERSON, Content(["hi"]), client_id=client_id)
    with pytest.raises(IntegrityError), transaction.atomic():
        dialogue.add(Role.PERSON, Content(["hi"]), client_id=client_id)


def test_a_dialogue_has_one_open_turn(acme: Tenant) -> None:
    dialogue = a_dialogue(acme, a_person(acme))
    question = dialogue.add(Role.PERSON, Content(["hi"]))
    fields = {"tenant": acme, "dialogue": dialogue, "question": question}
    turn = DialogueTurn.objects.create(deadline=timezone.now(), **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        DialogueTurn.objects.create(deadline=timezone.now(), **fields)
    DialogueTurn.objects.filter(pk=turn.pk).update(ended_at=timezone.now())
    DialogueTurn.objects.create(deadline=timezone.now(), **fields)


def test_closing_is_on_record_once_with_the_opinion(acme: Tenant) -> None:
    dialogue = a_dialogue(acme, a_person(acme))
    assert dialogue.close(by="test", satisfaction=4, was_resolved=True)
    assert not dialogue.close(by="test", satisfaction=None, was_resolved=None)
    dialogue.refresh_from_db()
    assert (dialogue.status, dialogue.satisfaction) == (DialogueStatus.CLOSED, 4)
    (event,) = Event.objects.filter(action=Action.DIALOGUE_CLOSE)
    assert event.subject_id == dialogue.subject_id
    assert event.detail["satisfaction"] == 4


def test_an_erasure_takes_the_persons_dialogues_alone(acme: Tenant) -> None:
    person, other = a_person(acme), a_person(acme)
    for each in (person, other):
        dialogue = a_dialogue(acme, each)
        question = dialogue.add(Role.PERSON, Content(["hi"]))
        turn = DialogueTurn(tenant=acme, dialogue=dialogue, question=question)
        turn.deadline = timezone.now()
        turn.encrypt(b"{}")
        turn.save()
    assert personal_data.remaining(acme.pk, person.pk) == 3
    assert personal_data.erase(acme.pk, person.pk) == {"dialogues": 1, "messages": 1}
    assert personal_data.remaining(acme.pk, person.pk) == 0
    assert personal_data.remaining(acme.pk, other.pk) == 3


def test_retention_spares_held_people(acme: Tenant) -> None:
    held, old = a_person(acme), timezone.now() - timedelta(days=10)
    for person in (held, a_person(acme)):
        a_dialogue(acme, person, changed_at=old)
    before = timezone.now() - timedelta(days=5)
    assert personal_data.erase_old(acme.pk, before, frozenset([held.pk])) == 1
    assert Dialogue.objects.get().person == held


def test_their_time_ends_some_at_a_time(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_classes.of("dialogues").step == personal_data.ROWS
    monkeypatch.setattr(personal_data, "ROWS", 2)
    for _number in range(3):
        a_dialogue(acme, a_person(acme))
    later = timezone.now() + timedelta(days=1)
    erased = [personal_data.erase_old(acme.pk, later, frozenset()) for _number in range(3)]
    assert erased == [2, 1, 0]


def test_an_export_has_no_notes(acme: Tenant) -> None:
    person = a_person(acme)
    dialogue = a_dialogue(acme, person)
    dialogue.add(Role.PERSON, Content(["where is it?"]))
    dialogue.add(Role.NOTE, Content(["difficult"]), author=f"member:{uuid4()}")
    (row,) = personal_data.exported(acme.pk, person.pk)
    assert [message["text"] for message in row["messages"]] == ["where is it?"]


def test_an_export_has_the_persons_opinion(acme: Tenant) -> None:
    person = a_person(acme)
    a_dialogue(acme, person).close(by="test", satisfaction=2, was_resolved=False)
    (row,) = personal_data.exported(acme.pk, person.pk)
    assert (row["satisfaction"], row["resolved"]) == (2, False)


class TestWidgetKeys:
    def test_one_is_made_changed_and_revoked_on_record(self, key: ApiKey) -> None:
        widget = WidgetKey.create(
            key.tenant, "shop", uuid4(), key, ["https://shop.example"], by="test"
        )
        assert WidgetKey.is_text(widget.text)
        widget.change(by="test", origins=["https://b.example", "https://a.example"])
        assert widget.origins == ["https://a.example", "https://b.example"]
        widget.revoke(by="test")
        widget.revoke(by="test")
        with pytest.raises(ValidationError, match="revoked"):
            widget.change(by="test", name="other")
        actions = Event.objects.filter(action__startswith="widget_key:").order_by("id")
        assert list(actions.values_list("action", flat=True)) == [
            Action.WIDGET_KEY_CREATE,
            Action.WIDGET_KEY_CHANGE,
            Action.WIDGET_KEY_REVOKE,
        ]

    @pytest.mark.parametrize(
        "origins",
        [[], ["shop.example"], ["https://shop.example/path"], ["*"], ["https://shop.example:443"]],
    )
    def test_its_origins_have_the_form_of_browsers(self, key: ApiKey, origins: list[str]) -> None:
        with pytest.raises(ValidationError):
            WidgetKey.create(key.tenant, "shop", uuid4(), key, origins, by="test")

    def test_it_takes_no_revoked_key_and_none_of_another_tenant(
        self, key: ApiKey, globex: Tenant
    ) -> None:
        with pytest.raises(ValidationError):
            WidgetKey.create(globex, "shop", uuid4(), key, ["https://a.example"], by="test")
        key.revoke(by="test")
        with pytest.raises(ValidationError):
            WidgetKey.create(key.tenant, "shop", uuid4(), key, ["https://a.example"], by="test")
