"""An act and its event stand or fall together, and only known words are written."""

from uuid import uuid4

import pytest
from django.db import transaction

from audit.actions import Action
from audit.models import Event
from audit.trail.record import act

pytestmark = pytest.mark.django_db


def test_an_act_is_on_record() -> None:
    acme, alice = uuid4(), uuid4()
    act(Action.MEMBER_ADD, actor="operator:1", tenant_id=acme, subject_id=alice, detail={"a": 1})
    event = Event.objects.of_tenant(acme).get()
    assert (event.action, event.actor, event.subject_id) == ("member:add", "operator:1", alice)
    assert event.success
    assert event.detail == {"a": 1}


def test_an_act_that_was_rolled_back_never_happened() -> None:
    acme = uuid4()
    with transaction.atomic():
        act(Action.TENANT_CREATE, actor="operator:1", tenant_id=acme)
        transaction.set_rollback(True)
    assert not Event.objects.of_tenant(acme).exists()


def test_an_unknown_word_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="member:vanish"):
        act("member:vanish", actor="operator:1")  # type: ignore[arg-type]


def test_every_word_has_its_subject_first_and_fits_its_column() -> None:
    for action in Action:
        subject, colon, verb = action.partition(":")
        assert subject.isidentifier(), action
        assert colon, action
        assert verb.isidentifier(), action
        assert len(action) <= 40


def test_events_are_found_by_person_and_time() -> None:
    acme = uuid4()
    for who in ("member:alice", "member:bob", "member:alice"):
        act(Action.SESSION_LOGIN, actor=who, tenant_id=acme)
    first, second, third = Event.objects.of_tenant(acme).order_by("id")
    found = Event.objects.of_tenant(acme).by("member:alice").order_by("-at", "-id")
    assert list(found) == [third, first]
    assert list(Event.objects.of_tenant(acme).between(second.at, third.at)) == [second]
    assert list(Event.objects.of_tenant(acme).between(None, second.at)) == [first]
