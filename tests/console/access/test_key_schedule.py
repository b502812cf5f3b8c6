"""The pages of scheduled rotation."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants import secret_keys
from tenants.accounts.due_rotations import rotate_due_keys
from tenants.models import ApiKey, Member
from tests.console.conftest import SignIn


@pytest.fixture
def key(alice: Member) -> ApiKey:
    return ApiKey.issue(alice.tenant, "build", by=alice.actor, created_by=alice)[0]


def due(key: ApiKey) -> ApiKey:
    """Returns the successor that the key's schedule makes."""
    key.schedule(by="test", rotate_at=timezone.now() + timedelta(hours=1))
    ApiKey.objects.update(rotate_at=timezone.now())
    rotate_due_keys()
    return ApiKey.objects.get(uncollected=True)


def test_a_schedule_is_set_shown_and_ended(alice: Member, key: ApiKey, sign_in: SignIn) -> None:
    client, page = sign_in(alice), f"/console/t/acme/keys/{key.pk}/"
    at = (timezone.now() + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    form = {"rotate_at": at, "days": "90", "hours": "168"}
    shown = client.post(f"{page}schedule/", form, follow=True).content.decode()
    assert "every 90 days" in shown
    key.refresh_from_db()
    assert (key.rotate_days, key.rotation_overlap_s) == (90, 7 * 86_400)
    client.post(f"{page}schedule/", {"rotate_at": "", "days": "", "hours": "24"})
    key.refresh_from_db()
    assert (key.rotate_at, key.rotate_days) == (None, None)
    answer = client.post(f"{page}schedule/", {**form, "rotate_at": "2020-01-01T10:00"})
    assert list(answer.context["schedule"].errors) == ["rotate_at"]


def test_the_successor_is_collected_on_its_page_once(
    alice: Member, key: ApiKey, sign_in: SignIn
) -> None:
    client, successor = sign_in(alice), due(key)
    page = f"/console/t/acme/keys/{successor.pk}/"
    shown = client.get(page).content.decode()
    assert "Waits to be collected" in shown
    assert "works until" in shown
    answer = client.post(f"{page}collection/")
    text = answer.context["text"]
    assert ApiKey.objects.get(digest=secret_keys.digest(text)) == successor
    assert text in answer.content.decode()
    again = client.post(f"{page}collection/", follow=True).content.decode()
    assert "This key has been collected already." in again
    assert text not in again


def test_who_may_do_less_neither_schedules_nor_collects(
    alice: Member, bob: Member, sign_in: SignIn
) -> None:
    key, _text = ApiKey.issue(
        alice.tenant, "audit", by=alice.actor, created_by=alice, scopes=["audit:read"]
    )
    client, page = sign_in(bob), f"/console/t/acme/keys/{key.pk}/"
    assert client.post(f"{page}schedule/", {"hours": "24"}).status_code == 403
    successor = due(key)
    page = f"/console/t/acme/keys/{successor.pk}/"
    assert client.post(f"{page}collection/").status_code == 403
