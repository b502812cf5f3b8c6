"""The web pages that a tenant allows are written as browsers send them."""

import pytest
from django.core.exceptions import ValidationError

from audit.models import Event
from tenants.models import Tenant

GOOD = ["https://app.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443"]


def test_a_change_is_on_record(acme: Tenant) -> None:
    acme.change(by="test", allowed_origins=GOOD)
    acme.refresh_from_db()
    assert acme.allowed_origins == GOOD
    event = Event.objects.get(action="tenant:change")
    assert event.detail == {"allowed_origins": [[], GOOD]}


@pytest.mark.parametrize(
    "bad",
    [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://*.example.com",
        "https://App.example.com",
        "https://user@app.example.com",
        "https://app.example.com\n",
        "ftp://app.example.com",
        "https://",
    ],
)
def test_anything_else_is_refused(acme: Tenant, bad: str) -> None:
    with pytest.raises(ValidationError) as refused:
        acme.change(by="test", allowed_origins=[*GOOD, bad])
    assert "https://app.example.com" in str(refused.value)
    acme.refresh_from_db()
    assert acme.allowed_origins == []


def test_there_are_only_so_many(acme: Tenant) -> None:
    with pytest.raises(ValidationError):
        acme.change(by="test", allowed_origins=[f"https://a{n}.example" for n in range(51)])
