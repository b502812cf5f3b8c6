"""What answers over TLS tell browsers: to come by https alone, and to show cookies there only."""

from typing import Any

import pytest
from django.test import Client

from tenants.models import Member
from tests.console.conftest import PASSWORD
from tests.fresh_start import started

SHOW = (
    "import config.settings as s; "
    "print(s.SECURE_HSTS_SECONDS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)"
)
YEAR_S = "31536000"


@pytest.fixture
def browser(db: None, settings: Any) -> Client:
    """Of a platform whose public URL is https."""
    settings.SECURE_HSTS_SECONDS = int(YEAR_S)
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    return Client(enforce_csrf_checks=True)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://forebay.example.com", f"{YEAR_S} True True"),
        ("https://localhost:8000", "0 True True"),  # it would hold for a developer's other programs
    ],
)
def test_the_public_url_decides(url: str, shown: str) -> None:
    assert started(SHOW, FOREBAY_PUBLIC_URL=url).stdout.strip() == shown


def test_each_page_says_that_browsers_come_by_https_alone(browser: Client) -> None:
    for path, status in (("/login/", 200), ("/console/", 302), ("/nowhere/", 404)):
        answer = browser.get(path, secure=True)
        assert answer.status_code == status
        assert answer["Strict-Transport-Security"] == f"max-age={YEAR_S}", path
    in_clear = browser.get("/login/")
    assert "Strict-Transport-Security" not in in_clear, "browsers would not believe it"


def test_cookies_go_over_https_alone(browser: Client, alice: Member) -> None:
    page = browser.get("/login/", secure=True)
    token = page.cookies["csrftoken"].value
    form = {"login": alice.user.email, "password": PASSWORD, "csrfmiddlewaretoken": token}
    given = browser.post("/login/", form, secure=True, headers={"origin": "https://testserver"})
    assert given.status_code == 302
    assert given["Strict-Transport-Security"] == f"max-age={YEAR_S}"
    session = given.cookies["forebay_session"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert session["secure"]
    assert page.cookies["csrftoken"]["secure"]
