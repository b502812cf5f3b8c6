"""How long a session lasts, where it is seen, and how it ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from audit.actions import Action
from audit.models import Event
from console.account.reauthentication import is_proven
from tenants.accounts.sessions import end_sessions
from tenants.models import Member, Tenant
from tests.console.account.conftest import try_password
from tests.console.conftest import PASSWORD, SignIn, prove

MINUTE, HOUR = 60, 3600
Forward = Callable[[float], None]
NEW = "another river, another dam"


@pytest.fixture
def client(bob: Member) -> Client:
    """bob's, signed in."""
    client = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0"})
    assert try_password(client, "bob@acme.example").status_code == 302
    return client


def inside(client: Client) -> bool:
    return client.get("/console/t/acme/").status_code == 200


# Limits --------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_under_mlps_half_an_hour_away_ends_it(client: Client, clock: Forward) -> None:
    Tenant.objects.update(profile="mlps-l3")
    clock(MINUTE)
    assert inside(client)
    clock(29 * MINUTE)
    assert inside(client)
    clock(30 * MINUTE)
    assert not inside(client)
    ended = Event.objects.get(action=Action.SESSION_END)
    assert ended.detail == {"why": "limit"}


@pytest.mark.django_db
def test_under_asvs_a_working_day_away_ends_it(client: Client, clock: Forward) -> None:
    clock(7.9 * HOUR)
    assert inside(client)
    clock(8 * HOUR)
    assert not inside(client)


@pytest.mark.django_db
def test_twelve_hours_end_it_however_busy(client: Client, clock: Forward) -> None:
    for _ in range(23):
        clock(31 * MINUTE)
        assert inside(client)
    clock(8 * MINUTE)
    assert not inside(client)


@pytest.mark.django_db
def test_a_page_that_refreshes_itself_is_nobodys_presence(client: Client, clock: Forward) -> None:
    Tenant.objects.update(profile="mlps-l3")
    clock(MINUTE)
    assert inside(client)
    for _ in range(14):
        clock(2 * MINUTE)
        answer = client.get("/console/t/acme/live/", headers={"X-Unattended": "1"})
        assert answer.status_code == 200
    clock(2 * MINUTE)
    polled = {"X-Unattended": "1", "HX-Request": "true"}
    assert "/login" in client.get("/console/t/acme/live/", headers=polled)["HX-Redirect"]
    assert not inside(client)


@pytest.mark.django_db
def test_presence_is_written_once_a_minute_at_most(client: Client, clock: Forward) -> None:
    clock(61)
    inside(client)

    def writes() -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as done:
            inside(client)
        sql = [query["sql"] for query in done.captured_queries]
        return [one for one in sql if one.startswith(("UPDATE", "INSERT", "DELETE"))]

    assert writes() == []
    clock(61)
    assert len(writes()) == 2  # the session, and when it was last seen


@pytest.mark.django_db
def test_a_profile_that_is_turned_on_holds_for_open_sessions(
    client: Client, clock: Forward
) -> None:
    Tenant.objects.update(profile="mlps-l3")
    clock(31 * MINUTE)
    assert not inside(client)


@pytest.mark.django_db
def test_a_clock_that_goes_back_an_hour_makes_no_session_last_longer(
    client: Client, clock: Forward
) -> None:
    Tenant.objects.update(profile="mlps-l3")
    clock(MINUTE)
    assert inside(client)
    clock(-HOUR)
    assert inside(client)
    clock(31 * MINUTE)
    assert not inside(client)


@pytest.mark.django_db
def test_a_session_of_a_clock_that_was_far_ahead_is_over(client: Client, clock: Forward) -> None:
    clock(-30 * 24 * HOUR)
    assert not inside(client)


@pytest.mark.django_db
def test_a_proof_of_a_clock_that_was_ahead_is_none(
    bob: Member, client: Client, clock: Forward, rf: RequestFactory
) -> None:
    prove(client, bob.user)
    request = rf.get("/")
    request.session, request.user = client.session, bob.user
    assert is_proven(request)
    clock(-HOUR)
    assert not is_proven(request)


# Signing in ----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_sign_in_makes_a_new_session(bob: Member) -> None:
    fixed = Client()
    fixed.get("/login/")
    fixed.session["planted"] = "by an attacker"
    session = fixed.session
    session["began_at"] = 1.0
    session.save()
    fixed.cookies["forebay_session"] = str(session.session_key)
    try_password(fixed, "bob@acme.example")
    assert fixed.session.session_key != session.session_key
    assert not Session.objects.filter(session_key=session.session_key).exists()
    assert inside(fixed)  # what was planted about its age does not count


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    ["/login/", "/logout/", "/account/password/", "/account/sessions/end/", "/account/proof/"],
)
def test_a_form_of_another_site_does_nothing(bob: Member, path: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob.user, "allauth.account.auth_backends.AuthenticationBackend")
    form = {"login": "bob@acme.example", "password": PASSWORD}
    assert strict.post(path, form).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("onward", ["https://evil.example/", "//evil.example", "/\\evil.example"])
@pytest.mark.parametrize("path", ["/login/", "/account/proof/", "/logout/"])
def test_nobody_is_led_out_of_the_house(client: Client, path: str, onward: str) -> None:
    if path == "/login/":
        client.post("/logout/")
    form = {"login": "bob@acme.example", "password": PASSWORD, "next": onward}
    answer = client.post(f"{path}?next={onward}", form)
    assert answer["Location"] in ("/", "/login/")


# Seen and ended ------------------------------------------------------------------------------
@pytest.mark.django_db
def test_one_sees_where_one_is_signed_in(client: Client) -> None:
    other = Client(
        headers={"User-Agent": "Mozilla/5.0 (iPhone) Safari/605"}, REMOTE_ADDR="10.0.0.9"
    )
    try_password(other, "bob@acme.example")
    page = client.get("/account/").content.decode()
    for shown in ("Firefox on Linux", "Safari on iOS", "10.0.0.9", "this one"):
        assert shown in page


@pytest.mark.django_db
def test_one_ends_a_session_from_another(client: Client, bob: Member) -> None:
    other = Client()
    try_password(other, "bob@acme.example")
    row = UserSession.objects.get(session_key=other.session.session_key)
    assert client.post(f"/account/sessions/{row.pk}/end/")["Location"] == "/account/"
    assert not inside(other)
    assert inside(client)
    ended = Event.objects.get(action=Action.SESSION_END)
    assert (ended.actor, ended.tenant_id) == (bob.actor, bob.tenant_id)


@pytest.mark.django_db
def test_one_ends_all_others_at_once(client: Client) -> None:
    others = [Client(), Client()]
    for other in others:
        try_password(other, "bob@acme.example")
    client.post("/account/sessions/end/")
    assert inside(client)
    assert not any(inside(other) for other in others)


@pytest.mark.django_db
def test_nobody_ends_anothers(client: Client, charlie: Member) -> None:
    charlies = Client()
    try_password(charlies, "charlie@globex.example")
    row = UserSession.objects.get(user=charlie.user)
    assert client.post(f"/account/sessions/{row.pk}/end/").status_code == 404
    assert charlies.get("/console/t/globex/").status_code == 200


@pytest.mark.django_db
def test_a_verb_ends_them_all(client: Client, bob: Member) -> None:
    assert end_sessions(bob.user) == 1
    assert not inside(client)


# Passwords -----------------------------------------------------------------------------------
def change(client: Client, old: str = PASSWORD, new: str = NEW, again: str = "") -> Any:
    form = {"oldpassword": old, "password1": new, "password2": again or new}
    return client.post("/account/password/", form)


@pytest.mark.django_db
def test_a_new_password_ends_the_other_sessions(client: Client, bob: Member) -> None:
    other = Client()
    try_password(other, "bob@acme.example")
    before = client.session.session_key
    assert change(client)["Location"] == "/account/"
    assert client.session.session_key != before
    assert inside(client)
    assert not inside(other)
    assert try_password(Client(), "bob@acme.example").status_code == 200
    assert try_password(Client(), "bob@acme.example", NEW).status_code == 302
    changed = Event.objects.get(action=Action.PASSWORD_CHANGE)
    assert (changed.actor, changed.tenant_id) == (bob.actor, bob.tenant_id)


@pytest.mark.django_db
def test_it_takes_the_present_password_and_guesses_are_counted(client: Client) -> None:
    for _ in range(5):
        assert "current password" in change(client, old="guess").content.decode()
    assert "Too many" in change(client).content.decode() or change(client).status_code == 429


@pytest.mark.django_db
def test_proof_is_asked_for_after_ten_minutes(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    prove(client, bob.user, seconds_ago=601)
    answer = client.get("/account/two-factor/app/")
    assert answer["Location"] == "/account/proof/?next=%2Faccount%2Ftwo-factor%2Fapp%2F"
    wrong = client.post(answer["Location"], {"password": "guess"})
    assert wrong.status_code == 200
    right = client.post(answer["Location"], {"password": PASSWORD})
    assert right["Location"] == "/account/two-factor/app/"
    assert client.get("/account/two-factor/app/").status_code == 200


@pytest.mark.django_db
def test_last_seen_moves_with_the_clock(client: Client, clock: Forward) -> None:
    row = UserSession.objects.get()
    UserSession.objects.update(last_seen_at=row.last_seen_at - timedelta(hours=1))
    clock(61)
    inside(client)
    assert UserSession.objects.get().last_seen_at >= row.last_seen_at
