"""Acts become notices: which, and for whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.retention import legal_hold
from audit.trail.record import act
from tenants.accounts import person_acts, second_factor_policy
from tenants.models import ApiKey, Member, Notice, NoticeMark, Quota, QuotaRaise, Tenant, User
from tenants.notices import expiry, following
from tenants.notices.events import EVENTS
from tenants.notices.rules import RULES
from tenants.roles import Role
from tests import people
from tests.tenants.notices.conftest import new_target


@pytest.fixture
def erin(acme: Tenant) -> Member:
    return people.join(acme, "erin@acme.example", Role.ADMIN)


def _announce_all() -> None:
    for event in Event.objects.order_by("id"):
        following.announce_act(event)


def _people(event: str) -> set[str]:
    rows = Notice.objects.filter(event=event, user__isnull=False)
    return {notice.user.email for notice in rows.select_related("user") if notice.user}


def _raise(acme: Tenant, member: Member, *, by_platform: bool = False) -> QuotaRaise:
    quota = Quota.objects.create(
        tenant=acme, unit="tokens", window="day", limit=10, set_by_platform=by_platform
    )
    ends = timezone.now() + timedelta(days=1)
    return QuotaRaise.ask(quota, 5, "a secret reason", ends, user=member.user, by=member.actor)


def test_every_rule_has_words_and_every_page_exists() -> None:
    assert {rule.event for rule in RULES.values()} <= EVENTS.keys()


@pytest.mark.django_db
def test_a_raise_goes_to_who_decides_and_back_to_who_asked(
    acme: Tenant, alice: Member, erin: Member, bob: Member
) -> None:
    new_target(acme, "https://hooks.example.com/")
    quota_raise = _raise(acme, erin)
    quota_raise.approve(user=alice.user, by=alice.actor)
    _announce_all()
    assert _people("raise.requested") == {"alice@acme.example"}
    assert _people("raise.approved") == {"erin@acme.example"}
    assert "secret" not in str(list(Notice.objects.values("facts")))
    assert Notice.objects.filter(target__isnull=False).count() == 2


@pytest.mark.django_db
def test_who_has_left_hears_no_figures_of_the_tenant(
    acme: Tenant, alice: Member, erin: Member
) -> None:
    quota_raise, user = _raise(acme, erin), erin.user
    erin.remove(by="test")
    quota_raise.approve(user=alice.user, by=alice.actor)
    _announce_all()
    assert user.email not in _people("raise.approved")


@pytest.mark.django_db
def test_who_joins_is_not_told_of_it(acme: Tenant, alice: Member, erin: Member) -> None:
    act(Action.LINK_USE, actor=erin.actor, tenant_id=acme.pk)
    _announce_all()
    assert _people("invitation.accepted") == {"alice@acme.example"}


@pytest.mark.django_db
def test_a_raise_of_the_platforms_quota_goes_to_operators(acme: Tenant, alice: Member) -> None:
    User.objects.create_user("op@forebay.example", is_operator=True)
    _raise(acme, alice, by_platform=True)
    _announce_all()
    assert _people("raise.requested") == {"op@forebay.example"}


@pytest.mark.django_db
def test_a_quota_is_told_once_for_each_act(acme: Tenant, alice: Member, bob: Member) -> None:
    detail = {"quota": "q", "percent": 80, "unit": "tokens", "window": "day"}
    act(Action.QUOTA_REACHED, actor="platform", tenant_id=acme.pk, detail=detail)
    _announce_all()
    _announce_all()
    assert _people("quota.reached") == {"alice@acme.example"}
    assert Notice.objects.count() == 1


@pytest.mark.django_db
def test_a_hold_goes_to_those_who_may_approve_it(acme: Tenant, alice: Member) -> None:
    auditor = people.join(acme, "carol@acme.example", Role.AUDITOR)
    ends = timezone.now() + timedelta(days=1)
    legal_hold.request(acme.pk, by=alice.actor, reason="a lawsuit", expires_at=ends)
    _announce_all()
    assert _people("hold.requested") == {auditor.user.email}
    assert "lawsuit" not in str(list(Notice.objects.values("facts")))


@pytest.mark.django_db
@pytest.mark.parametrize(("detail", "count"), [({"new_device": True}, 1), ({}, 0)])
def test_a_person_of_two_tenants_hears_of_a_device_once(
    detail: dict[str, Any], count: int, bob: Member, globex: Tenant
) -> None:
    globex.add_member(bob.user, Role.MEMBER, by="test")
    person_acts.record(Action.SESSION_LOGIN, bob.user, client_net="10.0.0.0", detail=detail)
    _announce_all()
    rows = Notice.objects.filter(event="session.new_device")
    assert [row.facts["network"] for row in rows] == ["10.0.0.0"] * count


@pytest.mark.django_db
def test_whose_factors_an_operator_or_a_command_takes_away_is_on_record_and_told() -> None:
    ann, ben = (
        User.objects.create_user(f"{name}@forebay.example", is_operator=True)
        for name in ("ann", "ben")
    )
    second_factor_policy.reset(ann, by="command:reset_mfa")
    second_factor_policy.reset(ann, by=ben.actor)
    _announce_all()
    events = Event.objects.filter(action=Action.MFA_REMOVE).order_by("id")
    assert [event.detail["user"] for event in events] == [ann.pk, ann.pk]
    assert _people("factor.removed") == {"ann@forebay.example"}


@pytest.mark.django_db
def test_an_accepted_invitation_and_a_used_reset_are_told_apart(
    acme: Tenant, alice: Member
) -> None:
    act(Action.LINK_USE, actor="member:x", tenant_id=acme.pk)
    act(Action.LINK_USE, actor="member:x", tenant_id=acme.pk, detail={"link_by": "member:y"})
    _announce_all()
    assert Notice.objects.filter(event="invitation.accepted").count() == 1


@pytest.mark.django_db
def test_a_key_that_ends_soon_is_told_three_times(acme: Tenant, alice: Member) -> None:
    key, _text = ApiKey.issue(acme, "ci", by="test", created_by=alice)
    made = timezone.now() - timedelta(days=60)
    for days_left in (15, 13.9, 13, 2.9, 2, 0.9, 0.5):
        ends = made + timedelta(days=60 + days_left)
        ApiKey.objects.filter(pk=key.pk).update(created_at=made, expires_at=ends)
        expiry.look()
        expiry.look()
    occasions = {n.occasion.rpartition(":")[2] for n in Notice.objects.all()}
    assert occasions == {"14", "3", "1"}
    assert _people("key.expiring") == {"alice@acme.example"}


@pytest.mark.unit
def test_a_key_of_a_week_needs_no_notice_of_two() -> None:
    now = timezone.now()
    assert expiry.due_days(now, now + timedelta(days=7), now) is None
    assert expiry.due_days(now, now + timedelta(days=7), now + timedelta(days=5)) == 3


@pytest.mark.django_db(transaction=True)
def test_the_trail_is_read_from_its_mark_on_and_each_act_once() -> None:
    acme = Tenant.open("acme", by="test")
    alice = people.join(acme, "alice@acme.example", Role.OWNER)
    following.follow()  # the trail before the first run makes no notices
    assert NoticeMark.objects.exists()
    act(Action.QUOTA_REACHED, actor="platform", tenant_id=acme.pk, detail={"percent": 80})
    act(Action.TENANT_CHANGE, actor="test", tenant_id=acme.pk)
    following.follow()
    following.follow()
    assert _people("quota.reached") == {alice.user.email}
    assert Notice.objects.count() == 1
    NoticeMark.objects.update(xid=2**50)  # a dump was restored: its transactions count anew
    following.follow()
    assert NoticeMark.objects.get().xid < 2**50
