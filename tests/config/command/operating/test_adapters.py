"""`forebay adapters`: a tenant's adapter, from its name to the version that serves."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from inference import engines
from inference.model_registry.registering import register
from inference.models import AdapterPromotion, ModelVersion, VersionKind
from inference.queue.client import client as redis
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Tenant
from tests.config.command.operating.conftest import Forebay
from tests.inference.jobs.scripted_trainer import write_adapter

SUPPORT = "acme large:support"
_NOBODYS = "0b6f4c1e-6d1c-4f0e-9a53-9e7a2f5d8c10"  # the id of no version


@pytest.fixture(autouse=True)
def version(
    transactional_db: None,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
) -> ModelVersion:
    """A version in acme's registry; the model `large` is served."""
    settings.MODEL_STORE, settings.MODEL_COPIES = str(tmp_path / "store"), tmp_path / "copies"
    settings.ENGINES = {"large": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    tenant = Tenant.open("acme", by="test")
    scopes = [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    _key, secret = ApiKey.issue(tenant, "ci", scopes=scopes, by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", secret)
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    write_adapter(tmp_path / "support", 1)
    return register(
        tenant_id=tenant.pk, name="support", folder=tmp_path / "support", kind=VersionKind.ADAPTER
    )


def test_a_version_is_promoted_by_its_name(forebay: Forebay, version: ModelVersion) -> None:
    assert forebay(f"adapters create {SUPPORT}").out == "adapter large:support: created\n"
    promote = f"adapters promote {SUPPORT} --version support@1"
    assert "would be promoted" in forebay(f"{promote} --dry-run").out
    assert forebay(promote).out == "promotion large:support: support@1 is loading\n"
    assert AdapterPromotion.objects.get().version_id == version.pk
    assert forebay(promote).out == "adapter large:support: unchanged\n"
    by_id = f"adapters promote {SUPPORT} --version {version.pk}"
    assert forebay(by_id).out == "adapter large:support: unchanged\n"


def test_it_waits_until_the_version_serves(
    forebay: Forebay, monkeypatch: pytest.MonkeyPatch
) -> None:
    forebay(f"adapters create {SUPPORT}")
    promote = f"adapters promote {SUPPORT} --version support --wait 60"

    def serve(_seconds: float) -> None:
        AdapterPromotion.objects.loading().get().serve(by="test")

    monkeypatch.setattr("time.sleep", serve)
    assert forebay(promote).out == "promotion large:support: support@1 is serving\n"
    assert forebay(promote).out == "adapter large:support: unchanged\n"


def test_a_version_that_cannot_be_loaded_ends_with_the_reason(
    forebay: Forebay, monkeypatch: pytest.MonkeyPatch
) -> None:
    forebay(f"adapters create {SUPPORT}")

    def fail(_seconds: float) -> None:
        AdapterPromotion.objects.loading().get().fail("no engine can have it", by="test")

    monkeypatch.setattr("time.sleep", fail)
    ended = forebay(f"adapters promote {SUPPORT} --version support@1 --wait 60")
    assert ended.status == 1
    assert ended.err == "forebay adapters: support@1 is failed: no engine can have it\n"


@pytest.mark.parametrize("name", ["support@2", "other", _NOBODYS])
def test_a_version_that_is_not_there_is_said(forebay: Forebay, name: str) -> None:
    forebay(f"adapters create {SUPPORT}")
    ended = forebay(f"adapters promote {SUPPORT} --version {name}")
    assert ended.status == 1
    assert not AdapterPromotion.objects.exists()


def test_a_number_that_is_none_is_a_wrong_command(forebay: Forebay) -> None:
    forebay(f"adapters create {SUPPORT}")
    assert forebay(f"adapters promote {SUPPORT} --version support@x").status == 2
