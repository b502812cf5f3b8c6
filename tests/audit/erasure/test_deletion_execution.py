"""A deletion that is executed: everything of one person goes, nothing of anybody else's."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from audit.actions import Action
from audit.erasure import certificate, deletion, erasers, execution, own_erasers, tombstones
from audit.erasure.erasers import Eraser, ErasureTurn
from audit.keys import signing
from audit.keys.keyring import Unreadable, keyring
from audit.models import (
    DeletionMode,
    DeletionRequest,
    DeletionState,
    ErasureStep,
    Event,
    Tombstone,
)
from audit.offline import forebay_verify
from audit.retention import legal_hold
from inference.models import Completion
from inference.personal_data import erasure
from tenants.accounts import password_reset
from tenants.models import Link, Member, Tenant, User
from tenants.personal_data import erasure as personal
from tenants.roles import Role
from tests.audit.subjects import HOSTED, Subject, a_key, a_member, asked, untouched

pytestmark = pytest.mark.django_db(transaction=True)
State = DeletionState


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


def ask(subject: Subject, **more: Any) -> DeletionRequest:
    return deletion.ask(*subject.who, by="member:1", decides=True, **more)


def done(request: DeletionRequest) -> DeletionRequest:
    execution.work()
    request.refresh_from_db()
    assert request.state == State.DONE, [
        (s.store, s.problem) for s in request.steps.filter(finished_at=None)
    ]
    return request


def test_everything_of_a_member_goes_and_nothing_of_anybody_else(acme: Tenant) -> None:
    alice, bob, robot = a_member(acme, "alice"), a_member(acme, "bob"), a_key(acme)
    events = Event.objects.filter(subject_id=alice.id, action__startswith="completion:").count()
    request = done(ask(alice))
    assert alice.left() == {}
    assert untouched(bob)
    assert untouched(robot)
    skeleton = Event.objects.filter(subject_id=alice.id, action__startswith="completion:")
    assert skeleton.count() == events  # the law wants that it happened
    evidence = {step.store: step.evidence for step in request.steps.all()}
    assert evidence["subject_keys"]["keys"] == 1
    assert evidence["texts"] == {"texts": 4}
    nothing = dict.fromkeys(("folders", "presets", "attachments"), 0)
    assert evidence["conversations"] == {"conversations": 1, "messages": 2, **nothing}
    assert evidence["exports"] == {"exports": 1}
    assert evidence["streams"] == {"streams": 2}
    assert evidence["refusals"] == {"refusals": 1}
    assert evidence["answers"] == {"answers": 1}
    assert evidence["recipients"]["told"] == "none"
    counts = {"members": 1, "keys": 0, "accounts": 0, "removed": 0}
    assert evidence["pseudonym"] == {"history": 2, **counts}


def test_a_member_who_stays_is_somebody_new_to_the_trail(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    done(ask(alice))
    stays = Member.objects.get(user__email="alice@acme.example")
    assert alice.member
    assert stays.pk != alice.member.pk
    assert stays.subject_id != alice.id
    completions = Completion.objects.filter(tenant=acme)
    assert set(completions.values_list("member_id", flat=True)) == {None}
    keyring.of_subject_now(acme.id, stays.subject_id)  # and can go on


def test_a_key_goes_on_under_another_pseudonym(acme: Tenant) -> None:
    robot, other = a_key(acme), a_key(acme, "other")
    done(ask(robot))
    assert robot.left() == {}
    assert untouched(other)
    assert robot.key
    assert acme.api_keys.get(digest=robot.key.digest).subject_id != robot.id


def test_who_wants_to_leave_leaves_with_their_account(acme: Tenant) -> None:
    a_member(acme, "owner", Role.OWNER)
    alice = a_member(acme, "alice")
    request = done(ask(alice, removes=True))
    assert alice.left() == {}
    assert not User.objects.filter(email="alice@acme.example").exists()
    (step,) = request.steps.filter(store="pseudonym")
    counts = {"members": 1, "keys": 0, "accounts": 1, "removed": 1}
    assert step.evidence == {"history": 2, **counts}


def test_the_last_owner_stays_but_is_unknown(acme: Tenant) -> None:
    alice = a_member(acme, "alice", Role.OWNER)
    found = done(ask(alice, removes=True)).certificate
    assert alice.left() == {}
    assert acme.members.filter(role=Role.OWNER).count() == 1
    assert found
    said = found["body"]["removal_asked"], found["body"]["membership_removed"]
    assert said == (True, False)


def test_a_key_can_be_deleted_with_its_data(acme: Tenant) -> None:
    found = done(ask(a_key(acme), removes=True)).certificate
    assert found
    assert found["body"]["membership_removed"]


def test_of_who_left_before_nothing_stays_either(acme: Tenant) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    assert alice.member
    alice.member.remove(by="test")
    request = done(ask(alice))
    assert alice.left() == {}
    assert untouched(bob)
    assert bob.left()["refusals"] == 1
    evidence = {step.store: step.evidence for step in request.steps.all()}
    assert (evidence["refusals"], evidence["answers"]) == ({"refusals": 1}, {"answers": 1})


def test_what_the_certificate_says_is_left_was_counted(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Eraser("gone", "x", ErasureTurn.CONTENT, lambda *_: {}, lambda *_: 0)  # type: ignore[arg-type]  # a plain label
    known = dict(erasers._known)
    monkeypatch.setattr(erasers, "_known", {**known, "gone": gone})
    request = ask(a_member(acme, "alice"))
    execution.advance(request.id)
    monkeypatch.setattr(erasers, "_known", known)
    found = done(request).certificate
    assert found
    left = {store["store"]: store["left"] for store in found["body"]["stores"]}
    assert left == {**dict.fromkeys(known, 0), "gone": None}


def test_nothing_written_about_the_person_stays_in_their_requests(acme: Tenant) -> None:
    a_member(acme, "owner", Role.OWNER)
    alice = a_member(acme, "alice")
    assert alice.member
    password_reset.issue_by_operator(alice.member.user, by="operator:1")
    refused = deletion.ask(*alice.who, by="member:1", reason="I am Alice Miller")
    deletion.refuse(refused, by="member:2", answer="Alice Miller is a witness")
    done(ask(alice, removes=True, reason="I am Alice Miller"))
    written = DeletionRequest.objects.filter(subject_id=alice.id).values_list("reason", "answer")
    assert set(written) == {("", "")}
    assert not Link.objects.filter(email="alice@acme.example").exists()


def test_an_erased_subject_never_gets_a_key_again(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    done(ask(alice))
    with pytest.raises(Unreadable):
        keyring.of_subject_now(*alice.who)


def test_each_act_is_on_record_with_the_erasure(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    request = done(ask(alice))
    acts = Event.objects.filter(detail__request=str(request.id)).order_by("id")
    assert list(acts.values_list("action", flat=True)) == [
        Action.DELETION_REQUEST,
        Action.DELETION_APPROVE,
        Action.KEY_ERASE,
        Action.DELETION_FINISH,
    ]


def test_the_certificate_says_what_was_done_and_verifies(acme: Tenant, tmp_path: Path) -> None:
    alice = a_member(acme, "alice")
    found = done(ask(alice)).certificate
    assert found
    assert certificate.verifies(found)
    assert alice.word not in json.dumps(found)
    assert {store["store"] for store in found["body"]["stores"]} == {
        eraser.name for eraser in erasers.in_order()
    }
    assert not any("key_ids" in store["evidence"] for store in found["body"]["stores"])
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(found, indent=2))
    assert offline(path) == 0
    found["body"]["stores"].pop()
    assert not certificate.verifies(found)
    path.write_text(json.dumps(found))
    assert offline(path) == 1


def offline(path: Path) -> int:
    """As a regulator runs it: one file, nothing of the platform."""
    tool = Path(forebay_verify.__file__)
    ours = base64.b64encode(signing.public_key()).decode()
    line = [sys.executable, "-I", str(tool), "certificate", str(path), "--public-key", ours]
    return subprocess.run(line, capture_output=True, timeout=30).returncode


def test_an_open_request_is_ended_first(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    order = asked(alice, over=False)
    request = done(ask(alice))
    assert alice.left() == {}
    closed = Completion.objects.get(id=order.id)
    assert closed.state == "cancelled"
    assert request.steps.get(store="requests").evidence == {"cancelled": 1}


def test_one_on_its_way_into_the_queue_is_waited_for(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_member(acme, "alice")
    asked(alice, over=False, age_s=0)
    request = ask(alice)
    execution.work()
    request.refresh_from_db()
    assert request.state == State.RUNNING
    step = request.steps.get(store="requests")
    assert (step.problem, step.finished_at) == ("1 left", None)
    assert alice.left()["members"] == 1  # who it is goes last
    monkeypatch.setattr(erasure, "ON_THE_WAY_S", 0)
    request.steps.filter(store="requests").update(evidence={})
    done(request)
    assert alice.left() == {}


def test_what_comes_in_late_is_gone_through_again(acme: Tenant) -> None:
    """A runner had the key in its memory, and settled after the texts were erased."""
    alice = a_member(acme, "alice")
    cipher = keyring.of_subject_now(*alice.who)
    request = ask(alice)
    while execution.advance(request.id):
        if request.steps.filter(store="texts").exclude(finished_at=None).exists():
            break
    order = asked_with(alice, cipher)
    assert alice.left()["texts"] == 2
    done(request)
    assert alice.left() == {}
    assert request.steps.get(store="texts").evidence == {"texts": 6}
    assert Completion.objects.get(id=order).state == "done"


def asked_with(alice: Subject, cipher: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(keyring), "of_subject_now", lambda *_: cipher)
        return asked(alice).id


# Twice, killed, failing ---------------------------------------------------------------------------
def test_a_store_that_fails_is_tried_again_and_the_others_go_on(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_member(acme, "alice")
    asked(alice, upstream=HOSTED)
    settings_url = "http://127.0.0.1:9/nobody"
    monkeypatch.setattr(settings, "DELETION_WEBHOOK", settings_url)
    request = ask(alice)
    execution.work()
    step = request.steps.get(store="recipients")
    assert step.finished_at is None
    assert "refused" in step.problem
    request.refresh_from_db()
    assert request.state == State.RUNNING
    assert set(alice.left()) == {"members", "ids"}
    monkeypatch.setattr(settings, "DELETION_WEBHOOK", "")
    execution.work()  # not due again yet
    assert request.steps.get(store="recipients").attempts == 1
    step.evidence = {}
    step.save()
    done(request)
    (told,) = request.steps.get(store="recipients").evidence["told"]
    assert (told["recipient"], told["requests"], told["told"]) == (HOSTED, 1, "log")


def test_killed_after_any_step_it_goes_on_and_does_nothing_twice(acme: Tenant) -> None:
    """Each step is a transaction: after a kill there is the one before, or the one after."""
    alice = a_member(acme, "alice")
    request = ask(alice)
    ran: list[str] = []
    stores = dict(erasers._known)

    class Killed(BaseException):
        pass

    def dies_once(eraser: Eraser) -> Eraser:
        tries = iter([True, False])

        def erase(*who: Any) -> erasers.Evidence:
            found = eraser.erase(*who)
            ran.append(eraser.name)
            if next(tries, False):
                raise Killed
            return found

        verify, stops = eraser.verify, eraser.stops_processing
        return Eraser(eraser.name, eraser.label, eraser.turn, erase, verify, stops)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasers, "_known", {n: dies_once(e) for n, e in stores.items()})
        for _ in stores:
            with pytest.raises(Killed):
                execution.work()
        done(request)
    assert sorted(ran) == sorted([*stores] * 2)
    assert alice.left() == {}
    assert Event.objects.filter(action=Action.KEY_ERASE, subject_id=alice.id).count() == 1
    assert Event.objects.filter(action=Action.DELETION_FINISH, subject_id=alice.id).count() == 1
    assert Tombstone.objects.filter(subject_id=alice.id).count() == 1
    assert len(tombstones.lines()) == 1
    assert request.steps.get(store="texts").evidence == {"texts": 4}


def test_large_stores_go_in_portions_and_go_on_after_a_kill(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open transaction delays everybody's seals, so none lasts as long as its store is large."""
    small = {name: replace(one, portion=one.portion and 2) for name, one in erasers._known.items()}
    monkeypatch.setattr(erasers, "_known", small)
    for module, name in ((own_erasers, "TEXTS"), (erasure, "ROWS"), (personal, "HISTORY")):
        monkeypatch.setattr(module, name, 2)
    alice, bob = a_member(acme, "alice", texts=5), a_member(acme, "bob", texts=5)
    request, counts = ask(alice), [alice.left()["texts"]]
    while execution.advance(request.pk):  # each may be the last before a kill
        counts.append(alice.left().get("texts", 0))
    assert sorted(set(counts), reverse=True) == [10, 8, 6, 4, 2, 0]
    done(request)
    assert alice.left() == {}
    assert len(bob.left()) == len(a_member(acme, "carol").left())
    evidence = {step.store: step.evidence for step in request.steps.all()}
    assert evidence["texts"] == {"texts": 10}
    assert evidence["pseudonym"]["history"] == 5
    assert set(request.steps.values_list("attempts", flat=True)) == {1}


def test_after_a_restore_all_portions_go_in_one_transaction(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = replace(erasers._known["texts"], portion=2)
    monkeypatch.setitem(erasers._known, "texts", texts)
    monkeypatch.setattr(own_erasers, "TEXTS", 2)
    alice = a_member(acme, "alice", texts=3)
    line = tombstones.TombstoneLine(*alice.who, uuid4(), False, timezone.now()).signed()
    assert tombstones.apply(line)["texts"] == {"texts": 6}
    assert alice.left() == {}


def test_an_eraser_that_says_something_is_left_is_not_believed_to_be_done(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_member(acme, "alice")
    stubborn = Eraser("stubborn", "x", ErasureTurn.CONTENT, lambda *_: {}, lambda *_: 1)  # type: ignore[arg-type]  # likewise
    monkeypatch.setattr(erasers, "_known", {**erasers._known, "stubborn": stubborn})
    request = ask(alice)
    execution.work()
    request.refresh_from_db()
    assert request.state == State.RUNNING
    assert alice.left()["members"] == 1


def test_a_store_that_an_upgrade_brings_is_erased_as_well(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, there = a_member(acme, "alice"), a_member(acme, "bob"), [3]
    request = ask(alice, mode=DeletionMode.RESTRICT)
    execution.work()

    def erase(*_who: Any) -> erasers.Evidence:
        there.clear()
        return {"n": 3}

    new = Eraser("new", "x", ErasureTurn.CONTENT, erase, lambda *_: sum(there))  # type: ignore[arg-type]  # a plain label
    stores = {name: one for name, one in erasers._known.items() if name != "answers"}
    monkeypatch.setattr(erasers, "_known", {**stores, "new": new})
    done(ask(bob))
    long_ago = timezone.now() - timedelta(days=500)  # retention ends
    DeletionRequest.objects.filter(pk=request.pk).update(started_at=long_ago)
    done(request)
    evidence = {step.store: step.evidence for step in request.steps.all()}
    assert (evidence["new"], evidence["answers"]) == ({"n": 3}, {"store": "gone"})


def test_a_request_that_gets_nowhere_leaves_others_their_turn(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    first, second = ask(alice), ask(bob)
    finish = execution._finish_if_clean
    monkeypatch.setattr(execution, "ROUND_S", 5.0)
    monkeypatch.setattr(
        execution, "_finish_if_clean", lambda one: one.pk == first.pk or finish(one)
    )
    done(second)


# Legal holds --------------------------------------------------------------------------------------
def hold(subject: Subject, **more: Any) -> Any:
    later = timezone.now() + timedelta(days=30)
    return legal_hold.request(
        subject.tenant.id, by="member:2", reason="a court", expires_at=later, **more
    )


def test_a_hold_stops_a_deletion_before_its_next_store(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    request = ask(alice)
    assert execution.advance(request.id)  # open requests
    kept = hold(alice, subject_id=alice.id)
    execution.work()
    request.refresh_from_db()
    assert request.state == State.HELD
    assert request.answer
    assert untouched(alice)
    for person in ("member:3", "member:4"):
        legal_hold.release(kept, by=person, reason="over")
    done(request)
    assert alice.left() == {}
    acts = Event.objects.filter(subject_id=alice.id, action=Action.DELETION_HELD)
    assert acts.count() == 1


def test_a_hold_on_somebody_else_stops_nothing(acme: Tenant) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    hold(bob, subject_id=bob.id)
    done(ask(alice))


def test_who_asks_under_a_hold_is_told(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    kept = hold(alice)
    request = deletion.ask(*alice.who, by="member:1")
    assert (request.state, bool(request.answer)) == (State.HELD, True)
    for person in ("member:3", "member:4"):
        legal_hold.release(kept, by=person, reason="over")
    execution.work()
    request.refresh_from_db()
    assert (request.state, request.answer) == (State.REQUESTED, "")  # still waits for approval


# Restriction --------------------------------------------------------------------------------------
def test_restricted_data_is_kept_but_nobody_reads_it(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    cipher = keyring.of_subject_now(*alice.who)
    request = ask(alice, mode=DeletionMode.RESTRICT)
    execution.work()
    request.refresh_from_db()
    assert request.state == State.RUNNING
    assert alice.left()["texts"] == 4
    keyring.close()
    with pytest.raises(Unreadable):
        keyring.of_subject_now(*alice.who)
    with pytest.raises(Unreadable):
        keyring.by_id_now(cipher.key_id)
    assert execution.nearly_late(timezone.now() + timedelta(hours=71)) == []


def test_restricted_data_goes_when_retention_ends(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    request = ask(alice, mode=DeletionMode.RESTRICT)
    execution.work()
    started = timezone.now() - timedelta(days=201)
    DeletionRequest.objects.filter(pk=request.pk).update(started_at=started)
    done(request)
    assert alice.left() == {}


def test_a_restriction_can_become_an_erasure(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    request = ask(alice, mode=DeletionMode.RESTRICT)
    execution.work()
    erasure = done(ask(alice))
    assert alice.left() == {}
    request.refresh_from_db()
    assert (request.state, request.certificate) == (State.DONE, erasure.certificate)


def test_nothing_goes_before_its_tombstone_is_on_disk(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: otherwise texts were gone, and an older backup brought them back."""
    alice = a_member(acme, "alice")
    asked(alice)
    request = ask(alice)

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tombstones, "place", full)
        for _ in range(5):
            execution.work()
    gone = set(request.steps.exclude(finished_at=None).values_list("store", flat=True))
    assert gone <= {"requests"}
    ErasureStep.objects.update(evidence={})  # do not wait until it is tried again
    done(request)
