"""Passwords lie as Argon2id; an older hash becomes one at the next sign-in."""

from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client

from config import settings as ours
from tenants.models import Member, User
from tests.console.account.conftest import try_password
from tests.console.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_in_production(settings: Any, _quick: None) -> None:
    settings.PASSWORD_HASHERS = ours.PASSWORD_HASHERS


def test_a_new_password_is_argon2id() -> None:
    user = User.objects.create_user("grace@acme.example", PASSWORD)
    assert user.password.startswith("argon2$argon2id$")
    assert PASSWORD not in user.password
    assert user.check_password(PASSWORD)
    assert not user.check_password(PASSWORD + " ")


def test_an_older_hash_is_replaced_when_its_person_signs_in(alice: Member) -> None:
    older = make_password(PASSWORD, hasher="pbkdf2_sha256")
    User.objects.filter(pk=alice.user_id).update(password=older)
    assert try_password(Client(), alice.user.email).status_code == 302
    alice.user.refresh_from_db()
    assert alice.user.password.startswith("argon2$argon2id$")
