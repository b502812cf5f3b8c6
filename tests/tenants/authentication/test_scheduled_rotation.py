"""A key rotates by schedule: its successor is collected once, the old one works for the overlap."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants import secret_keys
from tenants.accounts.due_rotations import rotate_due_keys
from tenants.models import ApiKey, Tenant
from tenants.models.key_schedule import LATEST
from tenants.models.tenant import State

HOUR = timedelta(hours=1)


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "build", by="test", burst=7)[0]


@pytest.fixture
def due(key: ApiKey) -> ApiKey:
    """A key whose time has come."""
    key.schedule(by="test", rotate_at=timezone.now() + HOUR, days=90, overlap=2 * HOUR)
    ApiKey.objects.update(rotate_at=timezone.now() - HOUR)
    key.refresh_from_db()
    return key


def test_a_due_key_gets_a_successor_whose_text_nobody_has(due: ApiKey) -> None:
    assert rotate_due_keys() == 1
    assert rotate_due_keys() == 0
    due.refresh_from_db()
    successor = due.replaced_by
    assert successor
    assert (successor.uncollected, successor.holders, successor.burst) == (True, [], 7)
    assert due.expires_at
    assert timedelta(0) <= timezone.now() + 2 * HOUR - due.expires_at < HOUR
    assert successor.rotate_at
    assert successor.rotate_at - timezone.now() > timedelta(days=89)
    assert (successor.rotate_days, due.rotate_at) == (90, None)
    event = Event.objects.get(action=Action.API_KEY_ROTATE)
    assert (event.actor, event.detail["replaced_by"]) == ("platform", str(successor.pk))


def test_its_text_is_collected_once(due: ApiKey) -> None:
    rotate_due_keys()
    successor = ApiKey.objects.get(uncollected=True)
    text = successor.collect(by="member:1")
    collected = ApiKey.objects.get(digest=secret_keys.digest(text))
    assert collected == successor
    assert (collected.holders, collected.grantors) == (["member:1"], ["member:1"])
    with pytest.raises(ValidationError):
        collected.collect(by="member:2")
    assert Event.objects.filter(action=Action.API_KEY_COLLECT).count() == 1


def _revoked(key: ApiKey) -> None:
    key.revoke(by="test")


def _expired(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - HOUR)


def _rotated_by_hand(key: ApiKey) -> None:
    key.rotate(by="test", overlap=HOUR)
    ApiKey.objects.exclude(pk=key.pk).update(rotate_at=None)


def _suspended(key: ApiKey) -> None:
    Tenant.objects.update(state=State.SUSPENDED)


def _no_longer_scheduled(key: ApiKey) -> None:
    key.schedule(by="test", rotate_at=None)


@pytest.mark.parametrize(
    "change", [_revoked, _expired, _rotated_by_hand, _suspended, _no_longer_scheduled]
)
def test_what_does_not_rotate(due: ApiKey, change: Callable[[ApiKey], None]) -> None:
    change(due)
    assert rotate_due_keys() == 0
    assert not ApiKey.objects.filter(uncollected=True).exists()


def test_an_uncollected_key_is_not_rotated_again(due: ApiKey) -> None:
    rotate_due_keys()
    ApiKey.objects.filter(uncollected=True).update(rotate_at=timezone.now() - HOUR)
    assert rotate_due_keys() == 0


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"rotate_at": -HOUR}, "rotate_at"),
        ({"rotate_at": timedelta(days=365 * 7900)}, "rotate_at"),
        ({"days": 0}, "days"),
        ({"days": 731}, "days"),
        ({"overlap": timedelta(days=31)}, "overlap"),
    ],
)
def test_bad_schedules(key: ApiKey, fields: dict[str, Any], wrong: str) -> None:
    at = timezone.now() + fields.pop("rotate_at", HOUR)
    with pytest.raises(ValidationError) as problem:
        key.schedule(by="test", rotate_at=at, **fields)
    assert list(problem.value.message_dict) == [wrong]
    assert not Event.objects.filter(action=Action.API_KEY_SCHEDULE).exists()


def test_one_that_fails_stops_no_other(
    due: ApiKey, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first: they are those of all tenants."""
    theirs = ApiKey.issue(globex, "build", by="test")[0]
    ApiKey.objects.filter(pk=theirs.pk).update(rotate_at=timezone.now() - HOUR)
    rotate = ApiKey.rotate

    def fails_for_acme(key: ApiKey, **options: Any) -> Any:
        if key.tenant_id == acme.pk:
            raise OverflowError("date value out of range")
        return rotate(key, **options)

    monkeypatch.setattr(ApiKey, "rotate", fails_for_acme)
    assert rotate_due_keys() == 1
    theirs.refresh_from_db()
    assert theirs.replaced_by


def test_a_key_of_an_earlier_version_that_ends_at_the_end_of_all_time_rotates(due: ApiKey) -> None:
    ApiKey.objects.update(expires_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert rotate_due_keys() == 1
    assert ApiKey.objects.get(uncollected=True).expires_at == LATEST
