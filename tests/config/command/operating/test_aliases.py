"""`forebay aliases`: a name of a tenant for a model."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from inference import engines
from inference.models import ModelAlias
from inference.queue.client import client as redis
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Tenant
from tests.config.command.operating.conftest import Forebay

SONNET = "acme claude-sonnet-4-5"


@pytest.fixture(autouse=True)
def _platform(
    transactional_db: None,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> Iterator[None]:
    """A tenant's key; the models `large` and `small` are served."""
    fields = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {"large": fields, "small": fields}
    engines.forget()
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    tenant = Tenant.open("acme", by="test")
    scopes = [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    _key, secret = ApiKey.issue(tenant, "ci", scopes=scopes, by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", secret)
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    yield
    engines.forget()


def test_it_is_set_changed_and_removed(forebay: Forebay) -> None:
    name = "alias claude-sonnet-4-5"
    dry = forebay(f"aliases set {SONNET} large --dry-run")
    assert dry.out == f"{name}: would be created\n"
    assert not ModelAlias.objects.exists()
    assert forebay(f"aliases set {SONNET} large").out == f"{name}: created\n"
    assert forebay(f"aliases set {SONNET} large").out == f"{name}: unchanged\n"
    changed = f"{name}: changed (model: large -> small)\n"
    assert forebay(f"aliases set {SONNET} small").out == changed
    (row,) = forebay("aliases list acme --json").data
    assert (row["name"], row["model"], row["state"]) == ("claude-sonnet-4-5", "small", "serves")
    assert "small" in forebay(f"aliases show {SONNET}").out
    assert forebay(f"aliases remove {SONNET}").out == f"{name}: removed\n"
    assert forebay(f"aliases remove {SONNET}").out == f"{name}: unchanged, there is none\n"
    assert forebay(f"aliases show {SONNET}").status == 1


def test_a_model_that_is_not_served_is_refused_with_the_reason(forebay: Forebay) -> None:
    ended = forebay(f"aliases set {SONNET} nowhere")
    assert ended.status == 1
    assert "There is no such model." in ended.err
