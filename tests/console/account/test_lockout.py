"""Five wrong passwords: nobody guesses on, and whoever owns the account still gets in.

FOREBAY_TEST_GUESSES says how many guesses (`make soak`: 1,000).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.db import connection
from django.db.models import F
from django.test import Client

from audit.actions import Action
from audit.models import Event
from console.account import lockout
from console.account.session_records import SIGN_INS
from tenants.models import Member, User
from tenants.rate_limits.proxies import Proxies
from tests.console.account.conftest import try_password
from tests.console.conftest import PASSWORD

EMAIL = "alice@acme.example"
GUESSES = int(os.environ.get("FOREBAY_TEST_GUESSES", "200"))


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that was really compared with the account's."""
    seen: list[str] = []
    real = User.check_password

    def check(self: User, raw: str) -> bool:
        seen.append(raw)
        return real(self, raw)

    monkeypatch.setattr(User, "check_password", check)
    return seen


@pytest.fixture(autouse=True)
def _many_addresses(settings: Any) -> None:
    settings.WEB_PROXIES = Proxies("127.0.0.1")


def guess(number: int, email: str = EMAIL) -> int:
    address = f"203.0.{number % 100}.7"
    answer = try_password(
        Client(), email, f"guess number {number}", headers={"X-Forwarded-For": address}
    )
    return int(answer.status_code)


def age(minutes: int) -> None:
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=minutes))


@pytest.mark.django_db
def test_guesses_from_many_addresses_get_five_looks(alice: Member, evaluated: list[str]) -> None:
    known = Client()
    assert try_password(known, EMAIL).status_code == 302
    known.post("/logout/")
    evaluated.clear()
    answers = [guess(number) for number in range(GUESSES)]
    assert len(evaluated) == 5
    assert answers == [200] * 5 + [429] * (GUESSES - 5)
    assert try_password(Client(), EMAIL).status_code == 429  # even the right one, from elsewhere
    assert try_password(known, EMAIL).status_code == 302  # the person's own device


@pytest.mark.django_db(transaction=True)
def test_guesses_at_the_same_moment_get_five_looks_too(alice: Member, evaluated: list[str]) -> None:
    def one(number: int) -> int:
        try:
            return guess(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(60)))
    assert len(evaluated) == 5
    assert sorted(answers) == [200] * 5 + [429] * 55


@pytest.mark.django_db
def test_a_lock_is_on_record_once_and_each_refusal_too(alice: Member) -> None:
    for number in range(8):
        guess(number)
    locked = Event.objects.filter(action=Action.SESSION_LOCKED)
    assert [(e.actor, e.tenant_id, e.success) for e in locked] == [
        (alice.actor, alice.tenant_id, False)
    ]
    assert Event.objects.filter(action=Action.SESSION_DENIED).count() == 8


@pytest.mark.django_db
def test_operators_can_count_tries(alice: Member) -> None:
    before = {outcome: SIGN_INS.of(outcome).value for outcome in ("success", "denied", "locked")}
    try_password(Client(), EMAIL, PASSWORD)
    for number in range(6):
        guess(number)
    counted = {outcome: SIGN_INS.of(outcome).value - before[outcome] for outcome in before}
    assert counted == {"success": 1, "denied": 6, "locked": 1}


@pytest.mark.django_db
def test_the_lock_ends_after_half_an_hour_and_is_not_prolonged(alice: Member) -> None:
    for number in range(6):
        guess(number)
    age(29)
    assert guess(6) == 429  # counted, but the half hour does not begin anew
    age(2)
    assert try_password(Client(), EMAIL).status_code == 302


@pytest.mark.django_db
def test_the_right_password_clears_the_count(alice: Member) -> None:
    for _ in range(3):
        for number in range(4):
            assert guess(number) == 200
        assert try_password(Client(), EMAIL).status_code == 302


@pytest.mark.django_db
def test_an_account_that_does_not_exist_behaves_alike(alice: Member) -> None:
    real = [guess(number) for number in range(8)]
    unknown = [guess(number, "nobody@acme.example") for number in range(8)]
    assert real == unknown == [200] * 5 + [429] * 3
    stored = list(AccessAttempt.objects.values_list("username", flat=True))
    assert stored
    assert not any("@" in name for name in stored)


@pytest.mark.django_db
def test_one_address_over_many_accounts_is_stopped(db: None) -> None:
    answers = [
        try_password(Client(), f"person{n}@acme.example", "spring2026").status_code
        for n in range(lockout.MOST_BY_ADDRESS + 1)
    ]
    assert 429 in answers  # allauth's limit by the minute, or ours by the half hour


@pytest.mark.django_db
def test_each_known_device_is_counted_on_its_own(alice: Member, evaluated: list[str]) -> None:
    laptop, phone = Client(), Client()
    for device in (laptop, phone):
        assert try_password(device, EMAIL).status_code == 302
        device.post("/logout/")
    answers = [try_password(laptop, EMAIL, "mistyped again").status_code for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2
    assert try_password(phone, EMAIL).status_code == 302


@pytest.mark.django_db
def test_a_forged_or_foreign_device_cookie_makes_no_device_known(
    alice: Member, charlie: Member
) -> None:
    for number in range(6):
        guess(number)
    forged = Client()
    forged.cookies["forebay_device"] = "eyJhIjoiYiJ9:1abc:forged"
    assert try_password(forged, EMAIL).status_code == 429
    charlies = Client()
    assert try_password(charlies, "charlie@globex.example").status_code == 302
    charlies.post("/logout/")
    assert try_password(charlies, EMAIL).status_code == 429


@pytest.mark.django_db
def test_the_device_cookie_is_out_of_scripts_reach(alice: Member, client: Client) -> None:
    try_password(client, EMAIL)
    cookie = client.cookies["forebay_device"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert "alice" not in cookie.value


@pytest.mark.django_db
def test_a_new_password_forgets_the_devices_of_the_old_one(alice: Member, client: Client) -> None:
    try_password(client, EMAIL)
    client.post("/logout/")
    alice.user.take_password("another river, another dam")
    for number in range(6):
        guess(number)
    assert try_password(client, EMAIL, "another river, another dam").status_code == 429


@pytest.mark.django_db
def test_an_invitations_password_is_counted_with_the_others(acme: Any, charlie: Member) -> None:
    from urllib.parse import urlsplit

    from tenants.models import Link
    from tenants.models.link import Purpose

    url = Link.issue(Purpose.INVITATION, by="test", email=charlie.user.email, tenant=acme)
    answers = [
        Client().post(urlsplit(url).path, {"password": f"guess {n}"}).status_code for n in range(7)
    ]
    assert answers == [200] * 5 + [429] * 2
    assert Client().post(urlsplit(url).path, {"password": PASSWORD}).status_code == 429
