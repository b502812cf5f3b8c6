"""Scheduled rotation over the management API."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from tenants import secret_keys
from tenants.accounts.due_rotations import rotate_due_keys
from tenants.models import ApiKey, Member
from tests.console.api.conftest import Api, Enter, issued


def test_a_rotation_is_scheduled_and_its_key_collected(alice: Member, enter: Enter) -> None:
    (key, _text), api = issued(alice.tenant), enter(alice)
    path = f"tenants/acme/keys/{key.pk}/"
    at = (timezone.now() + timedelta(days=2)).isoformat()
    answer = api.post(f"{path}schedule/", rotate_at=at, days=30, overlap_s=60)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["rotate_days"], answer.json()["rotation_overlap_s"]) == (30, 60)
    ApiKey.objects.update(rotate_at=timezone.now())
    rotate_due_keys()
    successor = ApiKey.objects.get(uncollected=True)
    path = f"tenants/acme/keys/{successor.pk}/"
    assert api.get(path).json()["uncollected"] is True
    answer = api.post(f"{path}collect/")
    assert answer.status_code == 200, answer.content
    assert secret_keys.well_formed(answer.json()["secret"])
    assert api.post(f"{path}collect/").status_code == 400


def test_a_key_collects_no_successor_of_its_own(alice: Member) -> None:
    key, text = issued(alice.tenant)
    key.schedule(by="test", rotate_at=timezone.now() + timedelta(days=2))
    ApiKey.objects.update(rotate_at=timezone.now())
    rotate_due_keys()
    successor = ApiKey.objects.get(uncollected=True)
    path = f"tenants/acme/keys/{successor.pk}/collect/"
    assert Api(Client(), text).post(path).status_code == 403
    other = issued(alice.tenant)[1]
    assert Api(Client(), other).post(path).status_code == 200
