"""Redis is gone: people still sign in, and guesses are still counted."""

from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client

from console.account.optional_cache import ForgivingCache
from tenants.models import Member
from tests.console.account.conftest import code, try_password, with_app

EMAIL = "alice@acme.example"


@pytest.fixture(autouse=True)
def _gone(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}
    settings.CACHES = {**settings.CACHES, "default": away}
    monkeypatch.setattr(ForgivingCache, "_retry_at", 0.0)


@pytest.mark.django_db
def test_signing_in_works(alice: Member, client: Client) -> None:
    with_app(alice.user)
    assert try_password(client, EMAIL)["Location"] == "/login/second-factor/"
    one = code()
    assert client.post("/login/second-factor/", {"code": one})["Location"] == "/"
    other = Client()
    try_password(other, EMAIL)
    assert other.post("/login/second-factor/", {"code": one}).status_code == 200  # used up


@pytest.mark.django_db
def test_guesses_are_counted(alice: Member) -> None:
    answers = [try_password(Client(), EMAIL, f"guess {n}").status_code for n in range(7)]
    assert answers == [200] * 5 + [429] * 2


@pytest.mark.unit
def test_it_is_not_asked_again_for_a_while() -> None:
    cache = caches["default"]
    assert cache.add("lock", True, 10) is True
    assert cache.get("x", "otherwise") == "otherwise"
    assert ForgivingCache._retry_at > 0
