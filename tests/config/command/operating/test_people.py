"""`forebay people`: a person who is no member, by a reference."""

import io

import pytest
from pytest_django.live_server_helper import LiveServer

from audit.models import DeletionRequest
from inference.queue.client import client as redis
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Person, Tenant
from tests.config.command.operating.conftest import Forebay

WHO = "acme customer-4711"


@pytest.fixture(autouse=True)
def person(
    transactional_db: None, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> Person:
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    tenant = Tenant.open("acme", by="test")
    _key, secret = ApiKey.issue(tenant, "ci", scopes=[Scope.MANAGEMENT_WRITE], by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", secret)
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    return Person.objects.of(tenant.id, "customer-4711")


def test_a_person_is_found_and_their_erasure_asked_for(
    forebay: Forebay, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(person.pk) in forebay(f"people find {WHO}").out
    unknown = forebay("people find acme customer-1")
    assert unknown.status == 1
    dry = forebay(f"people erase {WHO} --dry-run")
    assert dry.out == f"person {person.pk}: would be asked to erase\n"
    assert not DeletionRequest.objects.exists()
    assert forebay(f"people erase {WHO}").out == f"person {person.pk}: asked to erase: requested\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("customer-4711\n"))
    assert "restrict" in forebay("people restrict acme -").out
    modes = {row["mode"] for row in forebay(f"people requests {WHO} --json").data}
    assert modes == {"erase", "restrict"}
