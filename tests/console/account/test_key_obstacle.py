"""Where no browser would use a security key, the page says why instead of blaming the key."""

from typing import Any, cast

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from config.environment import nearby
from console.account.second_factors.key_obstacle import key_obstacle
from tenants.models import Member
from tests.console.conftest import SignIn

PAGE = "/account/two-factor/keys/new/"


def obstacle(host: str, **more: Any) -> Any:
    request = RequestFactory().get(PAGE, HTTP_HOST=host, **more)
    return key_obstacle(cast("HttpRequest", request))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("host", "secure", "said", "url"),
    [
        ("127.0.0.1:8000", False, "not with an address", f"http://localhost:8000{PAGE}"),
        ("[::1]:8000", False, "not with an address", f"http://localhost:8000{PAGE}"),
        ("192.0.2.7", True, "not with an address like 192.0.2.7", ""),
        ("forebay.example", False, "over https only", ""),
    ],
)
def test_where_keys_do_not_work(
    settings: Any, host: str, secure: bool, said: str, url: str
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    found = obstacle(host, secure=secure)
    assert said in found.text
    assert found.url == url


@pytest.mark.unit
@pytest.mark.parametrize(
    ("host", "secure", "public"),
    [
        ("localhost:8000", False, "http://localhost:8000"),
        ("forebay.localhost", False, "http://localhost:8000"),
        ("forebay.example", True, "http://localhost:8000"),
        ("forebay.example", False, "https://forebay.example"),  # the proxy says nothing
    ],
)
def test_where_keys_work(settings: Any, host: str, secure: bool, public: str) -> None:
    settings.ALLOWED_HOSTS, settings.PUBLIC_URL = ["*"], public
    assert obstacle(host, secure=secure) is None


@pytest.mark.unit
@pytest.mark.parametrize(
    ("host", "printed"),
    [
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "localhost"),
        ("::", "localhost"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "[2001:db8::1]"),
    ],
)
def test_the_printed_address_is_one_where_keys_work(host: str, printed: str) -> None:
    assert nearby(host) == printed


@pytest.mark.django_db
def test_the_page_leads_to_where_they_work(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    page = client.get(PAGE, HTTP_HOST="127.0.0.1:8000").content.decode()
    assert f'href="http://localhost:8000{PAGE}"' in page
    assert 'id="add_key" disabled' in page
    page = client.get(PAGE, HTTP_HOST="localhost:8000").content.decode()
    assert "not with an address" not in page
    assert 'id="add_key" disabled' not in page
